import { createPublicKey, type JsonWebKey } from 'node:crypto';
import { isKeyID } from '../domain/key-id.ts';
import type { KeyFacts } from '../domain/ledger.ts';
import { isKeySize, keySizes, publicExponent } from '../domain/public-jwk.ts';
import { rsaThumbprint } from '../lib/thumbprint.ts';
import { ImportKeyError } from './errors.ts';
import type { KeyPair } from './key-pair.ts';
import { multiPrime } from './private-jwk.ts';
import { readPrivateKey } from './private-key-text.ts';

/**
 * Reads a private key as PEM (PKCS#1 or PKCS#8) or as a JWK. Its key ID is `keyID` (spec.import.keyID), otherwise the JWK's `kid`,
 * otherwise its thumbprint. Throws ImportKeyError.
 */
export function importPrivateKey(text: string, keyID?: string): KeyPair {
  const { privateKey, keyID: ownID } = readPrivateKey(text);
  if (ownID !== undefined && keyID !== undefined && ownID !== keyID) {
    throw new ImportKeyError(
      `its member kid is ${ownID}, but spec.import.keyID is ${keyID}; use the ID that the platforms have in both places, or remove kid from the JWK`,
    );
  }
  const facts = importPublicKey(createPublicKey(privateKey).export({ format: 'jwk' }), keyID ?? ownID);
  checkNumbers(privateKey.export({ format: 'jwk' }));
  return { ...facts, privateKey };
}

/** Narrows an RSA public key of a former system. `keyID` defaults to its thumbprint. Throws ImportKeyError. */
export function importPublicKey(jwk: JsonWebKey, keyID?: string): KeyFacts {
  if (keyID !== undefined && !isKeyID(keyID)) {
    throw new ImportKeyError('its key ID is not 1 to 256 printable ASCII characters without spaces; correct it');
  }
  const { n, e } = canonical(jwk);
  const size = integer(n).toString(2).length;
  if (!isKeySize(size)) {
    throw new ImportKeyError(`it has ${size} bits; only RSA keys of ${keySizes.join(', ')} bits can be imported`);
  }
  if (e !== publicExponent) {
    throw new ImportKeyError('its public exponent is not 65537; only RSA keys with this exponent can be imported');
  }
  const kid = keyID ?? rsaThumbprint({ n, e });
  return { keyID: kid, algorithm: 'RS256', size, publicJWK: { kty: 'RSA', use: 'sig', alg: 'RS256', kid, n, e } };
}

/** RFC 8017 §3.2: the relations between the numbers of an RSA private key with two primes. */
function checkNumbers(jwk: JsonWebKey): void {
  const [n, e, d, p, q, dp, dq, qi] = (['n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi'] as const).map((member) =>
    integer(jwk[member] ?? ''),
  ) as [bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint];
  if (p >= 3n && q >= 3n) {
    if (p * q < n && n % (p * q) === 0n) throw multiPrime();
    const exponents = (e * d) % (p - 1n) === 1n && (e * d) % (q - 1n) === 1n;
    if (p * q === n && exponents && dp === d % (p - 1n) && dq === d % (q - 1n) && (qi * q) % p === 1n) return;
  }
  throw new ImportKeyError(
    'its private and public halves do not belong together; export the key from the old system again',
  );
}

/** The members in base64url without padding or leading zeros (RFC 7518 §2), as thumbprints require them. */
function canonical({ n, e }: JsonWebKey): { n: string; e: string } {
  if (typeof n !== 'string' || typeof e !== 'string') {
    throw new ImportKeyError('it is not an RSA public key; RS256 requires RSA');
  }
  const rewrite = (text: string): string => {
    const hex = integer(text).toString(16);
    return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url');
  };
  return { n: rewrite(n), e: rewrite(e) };
}

function integer(base64url: string): bigint {
  return BigInt(`0x${Buffer.from(base64url, 'base64url').toString('hex') || '0'}`);
}
