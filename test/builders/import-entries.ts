import { generateKeyPairSync, type KeyObject } from 'node:crypto';

/**
 * Contents of Secrets for an import: private keys in every accepted format, rejected keys, and texts and bytes that are not keys.
 * The keys are generated when the list is requested.
 */
export function importEntries(): readonly Buffer[] {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { privateKey: short } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const { privateKey: curve } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  const jwk = privateKey.export({ format: 'jwk' });
  const encrypted = { format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  const texts = [
    pem,
    privateKey.export({ format: 'pem', type: 'pkcs1' }).toString(),
    JSON.stringify(jwk),
    ...['__proto__', 'x'.repeat(10_000), '\u0000', 'a b', ''].map((kid) => JSON.stringify({ ...jwk, kid })),
    ...[{}, 0, null].map((d) => JSON.stringify({ ...jwk, d })),
    JSON.stringify({ ...jwk, p: jwk.q, q: jwk.p }),
    JSON.stringify({ kty: 'RSA', n: jwk.n, e: jwk.e }),
    privateKey.export(encrypted).toString(),
    ...[short, curve].map((key: KeyObject) => key.export({ format: 'pem', type: 'pkcs8' }).toString()),
    pem.slice(0, 800),
    pem.replaceAll('\n', '\r\n'),
    `\uFEFF${pem}`,
    pem + pem,
    '-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n',
    '{"__proto__":{"kty":"RSA"}}',
    '',
    '\u0000',
    'null',
    '[]',
    '1e999',
    'A'.repeat(500_000),
    '['.repeat(100_000),
  ];
  return [...texts.map((text) => Buffer.from(text)), Buffer.from([0xff, 0xfe, 0x80, 0xc0]), Buffer.alloc(1000, 0x30)];
}
