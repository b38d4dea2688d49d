import type { webcrypto } from 'node:crypto';
import { calculateJwkThumbprint, CompactEncrypt, importJWK, type JWK } from 'jose';
import type { LtiRegistration } from '../../api/objects.ts';
import type { Fault } from '../../domain/situation.ts';

/** The holder of the only key that can decrypt the delivered signing key. */
export interface Recipient {
  readonly jwk: JWK & { readonly alg: string };
  readonly key: webcrypto.CryptoKey;
  /** RFC 7638. */
  readonly thumbprint: string;
}

/** The recipient of the registration, `undefined` if it names none, or why its key cannot be used. */
export async function readRecipient({ spec }: LtiRegistration): Promise<Recipient | Fault | undefined> {
  const jwk = spec.delivery?.recipient;
  if (!jwk) return undefined;
  try {
    const key = await importJWK({ ...jwk }, jwk.alg);
    if (key instanceof Uint8Array) throw new TypeError('not a public key');
    const recipient = { jwk: { ...jwk }, key, thumbprint: await calculateJwkThumbprint({ ...jwk }) };
    // Only a trial encryption reveals a short RSA modulus or a point of small order.
    await encryptFor(recipient, '');
    return recipient;
  } catch {
    const message = `spec.delivery.recipient is not a usable ${jwk.kty} public key for ${jwk.alg}, so the tool keeps its current key. Correct the JWK`;
    return { reason: 'DeliveryRecipientInvalid', message };
  }
}

/** RFC 7517 §7: an encrypted JWK. */
export function encryptFor({ jwk, key }: Recipient, secret: string): Promise<string> {
  const header = { alg: jwk.alg, enc: 'A256GCM', cty: 'jwk+json', ...(jwk.kid === undefined ? {} : { kid: jwk.kid }) };
  return new CompactEncrypt(Buffer.from(secret)).setProtectedHeader(header).encrypt(key);
}
