import { createHash, type KeyObject, type webcrypto } from 'node:crypto';
import { calculateJwkThumbprint, CompactEncrypt, importJWK, type JWK } from 'jose';
import type { LtiRegistration } from '../api/objects.ts';
import { privateJwk, privatePem, publicPem } from '../crypto/key-pair.ts';
import { type Ledger, liveKeys } from '../domain/ledger.ts';
import type { Fault } from '../domain/situation.ts';
import type { Secret } from '../kube/objects.ts';

/** What stands in a delivery Secret: the signing key in the forms that LTI libraries read, and nothing of any other key. */

export interface SigningKey {
  readonly keyID: string;
  readonly privateKey: KeyObject;
}

/** Who alone can read the signing key, where the registration names somebody. */
export interface Recipient {
  readonly jwk: JWK & { readonly alg: string };
  readonly key: webcrypto.CryptoKey;
  /** RFC 7638. */
  readonly thumbprint: string;
}

export interface Contents {
  /** Base64, as the API carries it. */
  readonly data: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const jweEntry = 'private.jwe';
/** Tells whether the JWE in the Secret is the one that was written, for this key and this recipient. */
const jweAnnotation = 'ltikeys.dev/private-jwe';

/** The recipient of the registration, `undefined` where it names none, or why its key cannot be used. */
export async function readRecipient({ spec }: LtiRegistration): Promise<Recipient | Fault | undefined> {
  const jwk = spec.delivery?.recipient;
  if (!jwk) return undefined;
  try {
    const key = await importJWK({ ...jwk }, jwk.alg);
    if (key instanceof Uint8Array) throw new TypeError('not a public key');
    const recipient = { jwk: { ...jwk }, key, thumbprint: await calculateJwkThumbprint({ ...jwk }) };
    // A short RSA modulus and a point of small order are found out in use only.
    await encryptFor(recipient, '');
    return recipient;
  } catch {
    const message = `spec.delivery.recipient is not a usable ${jwk.kty} public key for ${jwk.alg}; the delivery Secret is left as it is: correct the JWK`;
    return { reason: 'DeliveryRecipientInvalid', message };
  }
}

export async function deliveryContents(options: {
  readonly object: LtiRegistration;
  readonly ledger: Ledger;
  readonly signing: SigningKey | undefined;
  readonly recipient: Recipient | undefined;
  readonly jwksURL: string | undefined;
  readonly existing: Secret | undefined;
}): Promise<Contents> {
  const { object, ledger, signing, recipient, jwksURL, existing } = options;
  const common = {
    'jwks.json': JSON.stringify({ keys: liveKeys(ledger).map((key) => key.publicJWK) }),
    'registration.json': JSON.stringify(registrationEntry(object, jwksURL), undefined, 2),
  };
  if (!signing) return { data: encode(common), annotations: {} };
  const { keyID, privateKey } = signing;
  const open = { ...common, kid: keyID, 'public.pem': publicPem(privateKey) };
  const secret = JSON.stringify(privateJwk(signing));
  if (!recipient) {
    return { data: encode({ ...open, 'private.pem': privatePem(privateKey), 'private.jwk': secret }), annotations: {} };
  }
  const proofOf = (jwe: string): string =>
    `${keyID}.${recipient.thumbprint}.${createHash('sha256').update(jwe).digest('base64url')}`;
  const kept = existing?.data?.[jweEntry];
  const current = kept === undefined ? undefined : Buffer.from(kept, 'base64').toString();
  // Each encryption differs from the last; a JWE that is still right is kept, or the Secret would never settle.
  const right = current !== undefined && existing?.metadata.annotations?.[jweAnnotation] === proofOf(current);
  const jwe = right ? current : await encryptFor(recipient, secret);
  return { data: encode({ ...open, [jweEntry]: jwe }), annotations: { [jweAnnotation]: proofOf(jwe) } };
}

/** RFC 7517 §7: an encrypted JWK. */
function encryptFor({ jwk, key }: Recipient, secret: string): Promise<string> {
  const header = { alg: jwk.alg, enc: 'A256GCM', cty: 'jwk+json', ...(jwk.kid === undefined ? {} : { kid: jwk.kid }) };
  return new CompactEncrypt(Buffer.from(secret)).setProtectedHeader(header).encrypt(key);
}

/** The registration under the standard's names (OpenID Connect Discovery 1.0 §3, RFC 7591), as tool libraries want it. */
function registrationEntry({ spec }: LtiRegistration, jwksURL: string | undefined): object {
  return {
    issuer: spec.issuer,
    client_id: spec.clientID,
    authorization_endpoint: spec.authorizationEndpoint,
    token_endpoint: spec.tokenEndpoint,
    token_audience: spec.tokenAudience ?? spec.tokenEndpoint,
    jwks_uri: spec.jwksURI,
    deployment_ids: spec.deploymentIDs,
    tool_jwks_uri: jwksURL,
  };
}

function encode(entries: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(entries).map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
  );
}
