import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type JWTPayload, SignJWT } from 'jose';
import type { DeliveredKey } from './delivered-key.ts';
import { KeyDirectoryError } from './errors.ts';
import type { Delivery, PublicJwk } from './version.ts';

/** What a tool signs. Each function takes key, key ID and registration from one version. */

/** A `KeyDirectory`, or the key of a registration in a `KeyBundle`. */
export type KeySource = Pick<DeliveredKey, 'path' | 'current'> & Partial<Pick<DeliveredKey, 'registration'>>;

export interface ClientAssertionOptions {
  /** By default `token_audience` of the registration, else its `token_endpoint`. */
  readonly audience?: string;
  /** Seconds, 60 by default and at most 600: Sakai refuses more. */
  readonly lifetime?: number;
}

/** A client assertion for access tokens: LTI Security Framework 1.0 §4.1.1, RFC 7523 §3. */
export async function signClientAssertion(source: KeySource, options: ClientAssertionOptions = {}): Promise<string> {
  const delivery = source.current();
  const { client_id, token_audience, token_endpoint } = delivery.registration;
  const audience = options.audience ?? token_audience ?? token_endpoint;
  const sub = required(client_id, source, 'client_id', 'set spec.clientID of the LtiRegistration');
  const remedy = 'set spec.tokenAudience or spec.tokenEndpoint of the LtiRegistration, or pass audience';
  const aud = required(audience, source, 'token_audience', remedy);
  return signed(delivery, { iss: sub, sub, aud, jti: randomUUID() }, options.lifetime ?? 60);
}

export interface DeepLinkingResponse {
  /** The deployment ID of the request. */
  readonly deploymentID: string;
  readonly contentItems: readonly Readonly<Record<string, unknown>>[];
  /** `data` of the request's deep-linking settings. The platform requires it if the request had it. */
  readonly data?: string;
  /** Further claims, such as `https://purl.imsglobal.org/spec/lti-dl/claim/msg`. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Seconds, 300 by default and at most 600. */
  readonly lifetime?: number;
}

/** The form parameter `JWT` of a deep-linking response: LTI Deep Linking 2.0 §4.5. */
export async function signDeepLinkingResponse(source: KeySource, response: DeepLinkingResponse): Promise<string> {
  const delivery = source.current();
  const { client_id, issuer } = delivery.registration;
  const lti = 'https://purl.imsglobal.org/spec/lti/claim';
  const deepLinking = 'https://purl.imsglobal.org/spec/lti-dl/claim';
  const claims = {
    ...response.claims,
    iss: required(client_id, source, 'client_id', 'set spec.clientID of the LtiRegistration'),
    aud: required(issuer, source, 'issuer', 'set spec.issuer of the LtiRegistration'),
    nonce: randomUUID(),
    [`${lti}/message_type`]: 'LtiDeepLinkingResponse',
    [`${lti}/version`]: '1.3.0',
    [`${lti}/deployment_id`]: response.deploymentID,
    [`${deepLinking}/content_items`]: response.contentItems,
    ...(response.data === undefined ? {} : { [`${deepLinking}/data`]: response.data }),
  };
  return signed(delivery, claims, response.lifetime ?? 300);
}

/** The public keys of the registration, as the operator publishes them. For tests; platforms fetch `tool_jwks_uri`. */
export function toolJwks(source: KeySource): { readonly keys: readonly PublicJwk[] } {
  return { keys: source.current().jwks };
}

/** A member of `registration.json` that the token needs. */
export function required(value: string | undefined, source: KeySource, member: string, remedy: string): string {
  if (value !== undefined) return value;
  const prefix = source.registration === undefined ? '' : `${source.registration}.`;
  const file = join(source.path, `${prefix}registration.json`);
  throw new KeyDirectoryError('RegistrationIncomplete', file, `it has no ${member}`, remedy);
}

const longestLifetime = 600;

async function signed({ keyID, privateKey }: Delivery, claims: JWTPayload, lifetime: number): Promise<string> {
  if (!(lifetime > 0 && lifetime <= longestLifetime)) {
    throw new RangeError(`lifetime is ${lifetime}; it must be more than 0 and at most ${longestLifetime} seconds`);
  }
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ ...claims, iat: now, exp: now + Math.ceil(lifetime) })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: keyID })
    .sign(privateKey);
}
