import { createPublicKey, generateKeyPair as generate, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { KeyFacts } from '../domain/ledger.ts';
import type { KeySize, PublicJwk } from '../domain/public-jwk.ts';
import { rsaThumbprint } from '../lib/thumbprint.ts';

export interface KeyPair extends KeyFacts {
  readonly privateKey: KeyObject;
}

/** An RSA private JWK as libraries for tools read it (RFC 7518 §6.3.2). Every member beyond `PublicJwk` is secret. */
export interface PrivateJwk extends PublicJwk {
  readonly d: string;
  readonly p: string;
  readonly q: string;
  readonly dp: string;
  readonly dq: string;
  readonly qi: string;
}

const generateOffTheEventLoop = promisify(generate);

/** Generates an RSA key pair for RS256 on a thread of libuv's pool. Its key ID is its RFC 7638 thumbprint. */
export async function generateKeyPair(size: KeySize): Promise<KeyPair> {
  const { privateKey } = await generateOffTheEventLoop('rsa', { modulusLength: size, publicExponent: 0x10001 });
  const publicJWK = publicJwk(privateKey);
  return { keyID: publicJWK.kid, algorithm: 'RS256', size, publicJWK, privateKey };
}

/** The public half of an RSA private key. `keyID` defaults to its RFC 7638 thumbprint. */
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

/** The private JWK with `kid`, `alg` and `use`, for the tool. Secret. */
export function privateJwk({ keyID, privateKey }: Pick<KeyPair, 'keyID' | 'privateKey'>): PrivateJwk {
  const { n, e, d, p, q, dp, dq, qi } = privateKey.export({ format: 'jwk' });
  if (!n || !e || !d || !p || !q || !dp || !dq || !qi) throw new TypeError('Only RSA keys sign RS256.');
  return { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n, e, d, p, q, dp, dq, qi };
}
