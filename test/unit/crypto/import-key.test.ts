import { createPrivateKey, generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto';
import { expect } from 'chai';
import { calculateJwkThumbprint } from 'jose';
import { ImportKeyError } from '../../../src/crypto/errors.ts';
import { importPrivateKey, importPublicKey } from '../../../src/crypto/import-key.ts';

const rsa = (modulusLength: number, publicExponent = 65537) =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent }).privateKey;
const base64url = (value: bigint): string =>
  Buffer.from(value.toString(16).replace(/^(.(..)*)$/, '0$1'), 'hex').toString('base64url');

describe('The import of a key', () => {
  const key = rsa(2048);
  const jwk = key.export({ format: 'jwk' });

  for (const [form, text] of [
    ['PKCS#8 PEM', key.export({ format: 'pem', type: 'pkcs8' }).toString()],
    ['PKCS#1 PEM', key.export({ format: 'pem', type: 'pkcs1' }).toString()],
    ['a JWK', JSON.stringify(jwk)],
    ['PEM with white space around it', `\n  ${key.export({ format: 'pem', type: 'pkcs8' }).toString()}\n`],
  ] as const) {
    it(`importPrivateKey reads ${form} and uses its thumbprint as the key ID`, async () => {
      const imported = importPrivateKey(text);
      expect(imported.keyID).to.equal(await calculateJwkThumbprint({ kty: 'RSA', n: jwk.n!, e: jwk.e! }));
      expect(imported.publicJWK).to.deep.equal({
        kty: 'RSA',
        use: 'sig',
        alg: 'RS256',
        kid: imported.keyID,
        n: jwk.n,
        e: jwk.e,
      });
      expect(imported.size).to.equal(2048);
      expect(imported.privateKey.equals(key)).to.equal(true);
    });
  }

  it('importPrivateKey uses spec.import.keyID as the key ID', () => {
    expect(importPrivateKey(JSON.stringify(jwk), 'old-2019').publicJWK.kid).to.equal('old-2019');
  });

  describe('of a JWK with a kid', () => {
    const own = (kid: unknown, keyID?: string) => importPrivateKey(JSON.stringify({ ...jwk, kid }), keyID).keyID;

    for (const kid of [
      'tool-2019',
      'tool:2019',
      'Zm9v+/==',
      'https://tool.example.org/keys/1?v=2#k',
      '~'.repeat(256),
    ]) {
      it(`The import uses the kid ${kid.slice(0, 40)}, with or without the same spec.import.keyID`, () => {
        expect(own(kid)).to.equal(kid);
        expect(own(kid, kid)).to.equal(kid);
      });
    }

    it('The import refuses another ID in spec.import.keyID and names both IDs', () => {
      expect(() => own('tool-2019', 'tool-2020')).to.throw(
        ImportKeyError,
        'its member kid is tool-2019, but spec.import.keyID is tool-2020; use the ID that the platforms have',
      );
    });

    for (const [what, kid] of Object.entries({
      'an empty kid': '',
      'a kid with a space': 'tool 2019',
      'a kid with a line break': 'tool\n2019',
      'a kid with a zero-width space': 'tool\u200B2019',
      'a kid with an invisible filler': 'tool\u31642019',
      'a kid with a letter beyond ASCII': 'clé-2019',
      'a kid of 257 characters': 'k'.repeat(257),
      'a number as kid': 2019,
      'null as kid': null,
    })) {
      it(`The import refuses ${what} and names the member`, () => {
        expect(() => own(kid)).to.throw(ImportKeyError, 'its member kid is not 1 to 256 printable ASCII characters');
        expect(() => own(kid, 'tool-2019')).to.throw(ImportKeyError, 'its member kid is not 1 to 256');
      });
    }
  });

  it('The import refuses other key types, private or public', () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwkOf = (half: KeyObject) => half.export({ format: 'jwk' });
    expect(() => importPrivateKey(JSON.stringify(jwkOf(ec.privateKey)))).to.throw(ImportKeyError, 'a key of type ec');
    expect(() => importPrivateKey(JSON.stringify({ ...jwk, kty: 'X' }))).to.throw(ImportKeyError, 'kty is not RSA');
    expect(() => importPublicKey(jwkOf(ec.publicKey))).to.throw(ImportKeyError, 'it is not an RSA public key');
  });

  it('The import refuses a key ID with spaces or invisible characters', () => {
    expect(() => importPublicKey({ ...jwk }, 'tool 2019')).to.throw(ImportKeyError, 'its key ID is not 1 to 256');
    expect(() => importPrivateKey(JSON.stringify(jwk), 'tool\u200B')).to.throw(ImportKeyError, 'its key ID is not 1');
  });

  it('The import removes leading zeros from n and e, as thumbprints require', () => {
    const padded = Buffer.concat([Buffer.alloc(2), Buffer.from(jwk.n!, 'base64url')]).toString('base64url');
    expect(importPublicKey({ kty: 'RSA', n: padded, e: 'AAEAAQ' }).publicJWK).to.include({ n: jwk.n, e: 'AQAB' });
  });

  const other = rsa(2048).export({ format: 'jwk' });
  const mixed: JsonWebKey = { ...jwk, d: other.d! };
  for (const [what, text, message] of [
    [
      '1024 bits',
      rsa(1024).export({ format: 'pem', type: 'pkcs8' }).toString(),
      'it has 1024 bits; only RSA keys of 2048, 3072, 4096 bits can be imported',
    ],
    [
      'a public exponent of 3',
      rsa(2048, 3).export({ format: 'pem', type: 'pkcs8' }).toString(),
      'its public exponent is not 65537',
    ],
    ['halves of two keys', JSON.stringify(mixed), 'do not belong together'],
  ] as const) {
    it(`The import refuses ${what}, with a message that quotes no part of the key`, () => {
      let refusal: unknown;
      try {
        importPrivateKey(text);
      } catch (error) {
        refusal = error;
      }
      expect(refusal).to.be.instanceOf(ImportKeyError);
      expect(String(refusal)).to.include(message);
      expect(String(refusal)).not.to.include(String(jwk.d).slice(0, 20));
    });
  }

  it('The import refuses a public exponent other than 65537', () => {
    for (const e of ['Aw', 'AQAD', base64url(2n ** 64n + 1n)]) {
      expect(() => importPublicKey({ kty: 'RSA', n: jwk.n!, e }), e).to.throw(ImportKeyError, 'exponent is not 65537');
    }
  });

  for (const bits of [2047, 2049, 5120, 8192]) {
    it(`The import refuses a public key of ${bits} bits`, () => {
      const n = base64url((1n << BigInt(bits - 1)) + 1n);
      expect(() => importPublicKey({ kty: 'RSA', n, e: 'AQAB' })).to.throw(
        ImportKeyError,
        `it has ${bits} bits; only RSA keys of 2048, 3072, 4096 bits can be imported`,
      );
    });
  }

  it('The import returns a key that signs', () => {
    const { privateKey } = importPrivateKey(JSON.stringify(jwk));
    expect(privateKey.type).to.equal('private');
    expect(createPrivateKey({ key: privateKey.export({ format: 'jwk' }), format: 'jwk' }).equals(key)).to.equal(true);
  });
});
