import { createPrivateKey, generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto';
import { expect } from 'chai';
import { calculateJwkThumbprint } from 'jose';
import { ImportKeyError } from '../../../src/crypto/import-key-error.ts';
import { importPrivateKey, importPublicKey } from '../../../src/crypto/import-key.ts';

const rsa = (modulusLength: number, publicExponent = 65537) =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent }).privateKey;
const base64url = (value: bigint): string =>
  Buffer.from(value.toString(16).replace(/^(.(..)*)$/, '0$1'), 'hex').toString('base64url');

/** A modulus that is a power of 65537 modulo every prime below 168: what the ROCA library made. */
function rocaModulus(): bigint {
  const primes = [
    2n,
    3n,
    5n,
    7n,
    11n,
    13n,
    17n,
    19n,
    23n,
    29n,
    31n,
    37n,
    41n,
    43n,
    47n,
    53n,
    59n,
    61n,
    67n,
    71n,
    73n,
    79n,
    83n,
    89n,
    97n,
    101n,
    103n,
    107n,
    109n,
    113n,
    127n,
    131n,
    137n,
    139n,
    149n,
    151n,
    157n,
    163n,
    167n,
  ];
  const primorial = primes.reduce((product, prime) => product * prime, 1n);
  return (primorial << (2047n - BigInt(primorial.toString(2).length - 1))) + 65537n;
}

describe('taking over a key of a former system', () => {
  const key = rsa(2048);
  const jwk = key.export({ format: 'jwk' });

  for (const [form, text] of [
    ['PKCS#8 PEM', key.export({ format: 'pem', type: 'pkcs8' }).toString()],
    ['PKCS#1 PEM', key.export({ format: 'pem', type: 'pkcs1' }).toString()],
    ['a JWK', JSON.stringify(jwk)],
    ['PEM with white space around it', `\n  ${key.export({ format: 'pem', type: 'pkcs8' }).toString()}\n`],
  ] as const) {
    it(`reads ${form} and names it by its thumbprint`, async () => {
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

  it('keeps the key ID that platforms know', () => {
    expect(importPrivateKey(JSON.stringify(jwk), 'old-2019').publicJWK.kid).to.equal('old-2019');
  });

  describe('whose JWK has a kid of its own', () => {
    const own = (kid: unknown, keyID?: string) => importPrivateKey(JSON.stringify({ ...jwk, kid }), keyID).keyID;

    for (const kid of [
      'tool-2019',
      'tool:2019',
      'Zm9v+/==',
      'https://tool.example.org/keys/1?v=2#k',
      '~'.repeat(256),
    ]) {
      it(`serves it as ${kid.slice(0, 40)}, with or without the same spec.import.keyID`, () => {
        expect(own(kid)).to.equal(kid);
        expect(own(kid, kid)).to.equal(kid);
      });
    }

    it('refuses another one in spec.import.keyID and names both', () => {
      expect(() => own('tool-2019', 'tool-2020')).to.throw(
        ImportKeyError,
        'its member kid is tool-2019, but spec.import.keyID is tool-2020; keep the one that the platforms know',
      );
    });

    for (const [what, kid] of Object.entries({
      'an empty one': '',
      'one with a blank': 'tool 2019',
      'one with a line break': 'tool\n2019',
      'one with a zero-width space': 'tool\u200B2019',
      'one with a filler that looks like nothing': 'tool\u31642019',
      'one with a letter beyond ASCII': 'clé-2019',
      'one of 257 characters': 'k'.repeat(257),
      'a number': 2019,
      null: null,
    })) {
      it(`refuses ${what} and names the member`, () => {
        expect(() => own(kid)).to.throw(
          ImportKeyError,
          'its member kid is no text of 1 to 256 printable ASCII characters',
        );
        expect(() => own(kid, 'tool-2019')).to.throw(ImportKeyError, 'its member kid is no text of 1 to 256');
      });
    }
  });

  it('refuses another key type, private or public', () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const jwkOf = (half: KeyObject) => half.export({ format: 'jwk' });
    expect(() => importPrivateKey(JSON.stringify(jwkOf(ec.privateKey)))).to.throw(ImportKeyError, 'a key of type ec');
    expect(() => importPrivateKey(JSON.stringify({ ...jwk, kty: 'X' }))).to.throw(ImportKeyError, 'kty is not RSA');
    expect(() => importPublicKey(jwkOf(ec.publicKey))).to.throw(ImportKeyError, 'it is not an RSA public key');
  });

  it('refuses a key ID that nobody could read', () => {
    expect(() => importPublicKey({ ...jwk }, 'tool 2019')).to.throw(
      ImportKeyError,
      'its key ID is no text of 1 to 256',
    );
    expect(() => importPrivateKey(JSON.stringify(jwk), 'tool\u200B')).to.throw(ImportKeyError, 'its key ID is no text');
  });

  it('writes numbers without leading zeros, as thumbprints need them', () => {
    const padded = Buffer.concat([Buffer.alloc(2), Buffer.from(jwk.n!, 'base64url')]).toString('base64url');
    expect(importPublicKey({ kty: 'RSA', n: padded, e: 'AAEAAQ' }).publicJWK).to.include({ n: jwk.n, e: 'AQAB' });
  });

  const other = rsa(2048).export({ format: 'jwk' });
  const mixed: JsonWebKey = { ...jwk, d: other.d! };
  for (const [what, text, message] of [
    [
      '1024 bits',
      rsa(1024).export({ format: 'pem', type: 'pkcs8' }).toString(),
      'it has 1024 bits; RS256 needs at least 2048',
    ],
    [
      'a public exponent of 3',
      rsa(2048, 3).export({ format: 'pem', type: 'pkcs8' }).toString(),
      'public exponent is smaller than 65537',
    ],
    ['halves of two keys', JSON.stringify(mixed), 'do not belong together'],
  ] as const) {
    it(`refuses ${what}, says so and quotes nothing of it`, () => {
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

  it('refuses a modulus with the ROCA fingerprint', () => {
    const modulus = rocaModulus();
    expect(modulus.toString(2)).to.have.length(2048);
    expect(() => importPublicKey({ kty: 'RSA', n: base64url(modulus), e: 'AQAB' })).to.throw(ImportKeyError, 'ROCA');
    expect(() => importPublicKey({ kty: 'RSA', n: base64url(modulus + 2n), e: 'AQAB' })).not.to.throw();
  });

  it('refuses a public exponent that no LtiKey has room for', () => {
    const exponent = (value: bigint) => ({ kty: 'RSA', n: jwk.n!, e: base64url(value) });
    expect(importPublicKey(exponent(2n ** 64n - 1n)).publicJWK.e).to.have.length(11);
    expect(() => importPublicKey(exponent(2n ** 64n + 1n))).to.throw(ImportKeyError, 'more than 64 bits');
  });

  it('gives a key that signs', () => {
    const { privateKey } = importPrivateKey(JSON.stringify(jwk));
    expect(privateKey.type).to.equal('private');
    expect(createPrivateKey({ key: privateKey.export({ format: 'jwk' }), format: 'jwk' }).equals(key)).to.equal(true);
  });
});
