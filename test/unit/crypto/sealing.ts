import type { KeyObject } from 'node:crypto';
import { FlattenedEncrypt, type CryptoKey, type FlattenedJWE } from 'jose';
import { SealError } from '../../../src/crypto/seal-error.ts';

/** Encrypts what the product would never write, with a key the product would accept. */
export async function forge(
  header: object,
  plaintext: string,
  key: CryptoKey | KeyObject | Uint8Array,
): Promise<string> {
  const encrypt = new FlattenedEncrypt(Buffer.from(plaintext)).setProtectedHeader({ ...header });
  return JSON.stringify(await encrypt.encrypt(key));
}

export function parts(jwe: string): FlattenedJWE {
  return JSON.parse(jwe);
}

export function headerOf(jwe: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(parts(jwe).protected ?? '', 'base64url').toString());
}

/** The same ciphertext under a changed protected header. */
export function withHeader(jwe: string, header: object): string {
  return JSON.stringify({ ...parts(jwe), protected: Buffer.from(JSON.stringify(header)).toString('base64url') });
}

export async function sealFailure(promise: Promise<unknown>): Promise<SealError> {
  const outcome = await promise.then(
    () => 'no error',
    (error: unknown) => error,
  );
  if (outcome instanceof SealError) return outcome;
  throw new Error(`expected a SealError, got ${String(outcome)}`);
}

/** Finds eight characters in a row of any private member, or of a KEK in hex, base64 or base64url. */
export function leakFinder(privateKey: KeyObject, kek: Buffer): (text: string) => boolean {
  const { d, p, q, dp, dq, qi } = privateKey.export({ format: 'jwk' });
  const secrets = [d, p, q, dp, dq, qi, ...(['hex', 'base64', 'base64url'] as const).map((as) => kek.toString(as))];
  const known = new Set(secrets.flatMap((secret = '') => eights(secret)));
  return (text) => eights(text).some((fragment) => known.has(fragment));
}

function eights(text: string): string[] {
  return Array.from({ length: Math.max(0, text.length - 7) }, (_, at) => text.slice(at, at + 8));
}
