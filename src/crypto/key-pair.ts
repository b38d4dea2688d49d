import { createPublicKey, generateKeyPair as generate, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { PublicJwk } from '../domain/public-jwk.ts';
import { rsaThumbprint } from '../lib/thumbprint.ts';

export type KeySize = 2048 | 3072 | 4096;

export interface KeyPair {
  /** RFC 7638 SHA-256 thumbprint of the public half. */
  readonly keyID: string;
  readonly algorithm: 'RS256';
  /** Modulus length in bits. */
  readonly size: KeySize;
  readonly publicJWK: PublicJwk;
  readonly privateKey: KeyObject;
}

/** An RSA private JWK as tool libraries read it (RFC 7518 §6.3.2). Every member beyond `PublicJwk` is secret. */
export interface PrivateJwk extends PublicJwk {
  readonly d: string;
  readonly p: string;
  readonly q: string;
  readonly dp: string;
  readonly dq: string;
  readonly qi: string;
}

const generateOffTheEventLoop = promisify(generate);

/** Makes an RSA key pair for RS256, named by its thumbprint; a thread of the pool that files are read with computes it. */
export async function generateKeyPair(size: KeySize): Promise<KeyPair> {
  const { privateKey } = await generateOffTheEventLoop('rsa', { modulusLength: size, publicExponent: 0x10001 });
  const publicJWK = publicJwk(privateKey);
  return { keyID: publicJWK.kid, algorithm: 'RS256', size, publicJWK, privateKey };
}

/** The public half of an RSA private key. Without a `keyID` its RFC 7638 thumbprint is the `kid`. */
export function publicJwk(privateKey: KeyObject, keyID?: string): PublicJwk {
  const { n, e } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (n === undefined || e === undefined) throw new TypeError('Only RSA keys sign RS256.');
  return { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID ?? rsaThumbprint({ n, e }), n, e };
}

/** PKCS#8 PEM of the private key. Secret. */
export function privatePem(privateKey: KeyObject): string {
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/** SPKI PEM of the public half of a private key. */
export function publicPem(privateKey: KeyObject): string {
  return createPublicKey(privateKey).export({ format: 'pem', type: 'spki' }).toString();
}

/** The private JWK with the `kid`, `alg` and `use` a tool signs with. Secret. */
export function privateJwk({ keyID, privateKey }: Pick<KeyPair, 'keyID' | 'privateKey'>): PrivateJwk {
  const { n, e, d, p, q, dp, dq, qi } = privateKey.export({ format: 'jwk' });
  if (!n || !e || !d || !p || !q || !dp || !dq || !qi) throw new TypeError('Only RSA keys sign RS256.');
  return { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n, e, d, p, q, dp, dq, qi };
}
