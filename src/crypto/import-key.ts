import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import type { PublicJwk } from '../domain/public-jwk.ts';
import { isKeyID } from '../domain/ledger-format.ts';
import { rsaThumbprint } from '../lib/thumbprint.ts';
import { ImportKeyError } from './import-key-error.ts';
import { multiPrime } from './private-jwk.ts';
import { readPrivateKey } from './private-key-text.ts';

export interface ImportedKey {
  readonly keyID: string;
  readonly algorithm: 'RS256';
  readonly size: number;
  readonly publicJWK: PublicJwk;
}

const smallestModulus = 2048;
const largestModulus = 8192;
/** FIPS 186-5 §A.1.1: public exponents are odd and larger than 2^16. */
const smallestExponent = 65537n;
/** What LtiKeys and documents have room for; those in use have 17 bits. */
const largestExponent = 2n ** 64n - 1n;

/**
 * Reads a private key as PEM (PKCS#1 or PKCS#8) or as a JWK. The key ID is `keyID` (spec.import.keyID), or the JWK's own,
 * or else its thumbprint. Throws ImportKeyError.
 */
export function importPrivateKey(text: string, keyID?: string): ImportedKey & { readonly privateKey: KeyObject } {
  const { privateKey, keyID: ownID } = readPrivateKey(text);
  if (ownID !== undefined && keyID !== undefined && ownID !== keyID) {
    throw new ImportKeyError(
      `its member kid is ${ownID}, but spec.import.keyID is ${keyID}; keep the one that the platforms know in both places, or take kid out of the JWK`,
    );
  }
  const imported = importPublicKey(createPublicKey(privateKey).export({ format: 'jwk' }), keyID ?? ownID);
  checkNumbers(privateKey.export({ format: 'jwk' }));
  return { ...imported, privateKey };
}

/** Narrows an RSA public key of a former system. Without a key ID its thumbprint is its name. Throws ImportKeyError. */
export function importPublicKey(jwk: JsonWebKey, keyID?: string): ImportedKey {
  if (keyID !== undefined && !isKeyID(keyID)) {
    throw new ImportKeyError('its key ID is no text of 1 to 256 printable ASCII characters without blanks');
  }
  const { n, e } = canonical(jwk);
  const modulus = integer(n);
  const size = modulus.toString(2).length;
  if (size < smallestModulus)
    throw new ImportKeyError(`it has ${size} bits; RS256 needs at least ${smallestModulus} (RFC 7518 section 3.3)`);
  if (size > largestModulus) throw new ImportKeyError(`it has ${size} bits; at most ${largestModulus} are taken`);
  const exponent = integer(e);
  if (exponent < smallestExponent || exponent % 2n === 0n)
    throw new ImportKeyError('its public exponent is smaller than 65537 or even');
  if (exponent > largestExponent) throw new ImportKeyError('its public exponent has more than 64 bits');
  if (modulus % 2n === 0n) throw new ImportKeyError('its modulus is even, so it is not an RSA key');
  if (hasRocaFingerprint(modulus))
    throw new ImportKeyError('its modulus has the fingerprint of the ROCA weakness (CVE-2017-15361)');
  const kid = keyID ?? rsaThumbprint({ n, e });
  return { keyID: kid, algorithm: 'RS256', size, publicJWK: { kty: 'RSA', use: 'sig', alg: 'RS256', kid, n, e } };
}

/** RFC 8017 §3.2: the conditions between the numbers of an RSA private key with two primes. */
function checkNumbers(jwk: JsonWebKey): void {
  const [n, e, d, p, q, dp, dq, qi] = (['n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi'] as const).map((member) =>
    integer(jwk[member] ?? ''),
  ) as [bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint];
  if (p >= 3n && q >= 3n) {
    if (p * q < n && n % (p * q) === 0n) throw multiPrime();
    const exponents = (e * d) % (p - 1n) === 1n && (e * d) % (q - 1n) === 1n;
    if (p * q === n && exponents && dp === d % (p - 1n) && dq === d % (q - 1n) && (qi * q) % p === 1n) return;
  }
  throw new ImportKeyError('its private and public halves do not belong together');
}

/** The members in base64url without padding or leading zeros, as everybody else writes them. */
function canonical({ n, e }: JsonWebKey): { n: string; e: string } {
  if (typeof n !== 'string' || typeof e !== 'string') throw new ImportKeyError('it is not an RSA public key');
  const rewrite = (text: string): string => {
    const hex = integer(text).toString(16);
    return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url');
  };
  return { n: rewrite(n), e: rewrite(e) };
}

function integer(base64url: string): bigint {
  return BigInt(`0x${Buffer.from(base64url, 'base64url').toString('hex') || '0'}`);
}

/**
 * Keys of the flawed Infineon library are, modulo each of these primes, a power of 65537 (Nemec et al., "The Return of
 * Coppersmith's Attack", CCS 2017). For others the chance is below 2^-27.
 */
const rocaPrimes = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

function hasRocaFingerprint(modulus: bigint): boolean {
  return rocaPrimes.every((prime) => {
    const residue = Number(modulus % BigInt(prime));
    const powers = new Set<number>();
    for (let power = 1; !powers.has(power); power = (power * (65537 % prime)) % prime) powers.add(power);
    return powers.has(residue);
  });
}
