import { createPrivateKey, generatePrimeSync, type KeyObject } from 'node:crypto';

/** Private keys in forms that Node.js does not write. */

const armour = (label: string, der: Buffer): string =>
  `-----BEGIN ${label}-----\n${der.toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd()}\n-----END ${label}-----\n`;

export function pemBody(pem: string): string {
  return pem
    .split('\n')
    .filter((line) => !line.startsWith('-----'))
    .join('');
}

/** The same bytes under another label, or in lines of another length. */
export function relabelled(pem: string, label: string): string {
  return armour(label, Buffer.from(pemBody(pem), 'base64'));
}

const bytesOf = (value: bigint): Buffer => {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
};
const base64url = (value: bigint): string => bytesOf(value).toString('base64url');

/** DER (X.690) of lengths up to 65535. */
function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}
const sequence = (...items: readonly Buffer[]): Buffer => tagged(0x30, Buffer.concat(items));
const integer = (value: bigint): Buffer => {
  const octets = bytesOf(value);
  return tagged(0x02, octets[0]! < 128 ? octets : Buffer.concat([Buffer.of(0), octets]));
};

function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [value % modulus, modulus, 1n, 0n];
  while (a > 1n) [a, b, x, y] = [b % a, a, y - (b / a) * x, x];
  return ((x % modulus) + modulus) % modulus;
}

/** RFC 8017 §3.2 and appendix A.1.2: a key of 2048 bits with three primes. */
export function threePrimes(): { readonly pem: string; readonly jwk: object } {
  const e = 65537n;
  const prime = (bits: number): bigint => {
    const found = generatePrimeSync(bits, { bigint: true });
    return found % e === 1n ? prime(bits) : found;
  };
  const [p, q, r] = [prime(683), prime(683), prime(682)];
  const n = p * q * r;
  if (n >> 2047n === 0n) return threePrimes();
  const d = inverse(e, (p - 1n) * (q - 1n) * (r - 1n));
  const t = inverse(p * q, r);
  const numbers = [n, e, d, p, q, d % (p - 1n), d % (q - 1n), inverse(q, p)];
  const others = sequence(sequence(integer(r), integer(d % (r - 1n)), integer(t)));
  const names = ['n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi'];
  return {
    pem: armour('RSA PRIVATE KEY', sequence(integer(1n), ...numbers.map(integer), others)),
    jwk: {
      kty: 'RSA',
      ...Object.fromEntries(names.map((name, index) => [name, base64url(numbers[index]!)])),
      oth: [{ r: base64url(r), d: base64url(d % (r - 1n)), t: base64url(t) }],
    },
  };
}

/** PROTOCOL.key of OpenSSH, without a passphrase. */
export function openSshPem(key: KeyObject): string {
  const jwk = key.export({ format: 'jwk' });
  const text = (content: Buffer | string): Buffer => {
    const bytes = Buffer.from(content);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const number = (member: 'n' | 'e' | 'd' | 'p' | 'q' | 'qi'): Buffer =>
    text(Buffer.concat([Buffer.of(0), Buffer.from(jwk[member]!, 'base64url')]));
  const publicHalf = Buffer.concat([text('ssh-rsa'), number('e'), number('n')]);
  const members = (['n', 'e', 'd', 'qi', 'p', 'q'] as const).map(number);
  const secret = Buffer.concat([Buffer.alloc(8, 7), text('ssh-rsa'), ...members, text('tool')]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, index) => index + 1));
  const one = Buffer.of(0, 0, 0, 1);
  const head = [Buffer.from('openssh-key-v1\0'), text('none'), text('none'), text(''), one, text(publicHalf)];
  return armour('OPENSSH PRIVATE KEY', Buffer.concat([...head, text(Buffer.concat([secret, padding]))]));
}

/** A self-signed certificate (RFC 5280) whose private key was discarded. */
export const certificatePem = `-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIUUHEa/flcdeld/W4cROhMxJXWQOcwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBeDAeFw0yNjExMjYyMjAyNTZaFw0zNjExMjMyMjAyNTZaMAwx
CjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATvqhy2Zu2Us5tw
KwQldHdyob7ezLBKxR1Y4WZcO4dGtZmGK8bdMMak7/yZlFLaxez80Zd/voFs6vxD
5VNmJp2To1MwUTAdBgNVHQ4EFgQUxU8C8TwSoqw9MQfny5Ld2Fm3KMEwHwYDVR0j
BBgwFoAUxU8C8TwSoqw9MQfny5Ld2Fm3KMEwDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiEAqeWbAshvVXaQOvmLrt6n6CRwv+OOSOACHC2Dv1asfP0C
IE3JgjyVII3AM9Q09kbhgS6QFJX+88YFskE1KfPBDvqk
-----END CERTIFICATE-----
`;

/** Whether Node.js reads it, so that a test does not pass because of a malformed key. */
export function isReadable(pem: string): boolean {
  return createPrivateKey(pem).type === 'private';
}
