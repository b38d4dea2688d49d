import { type KeySource, required, signClientAssertion } from './sign.ts';
import type { Delivery } from './version.ts';

/** After a revocation. Some platforms accept a removed key until they meet a token with a key ID that they do not know. */

/**
 * Whether the operator revoked the key of `previous`: after a rotation, it would still be published. Also true if the tool did not look
 * for longer than the overlap.
 */
export function predecessorWasRevoked(current: Delivery, previous: Delivery): boolean {
  return current.keyID !== previous.keyID && !current.jwks.some(({ kid }) => kid === previous.keyID);
}

export interface RefreshOptions {
  /** One that the platform granted to the tool; by default one that every platform with grades knows. */
  readonly scope?: string;
  /** By default as `signClientAssertion` has it. */
  readonly audience?: string;
  /** For proxies and tests. */
  readonly fetch?: typeof globalThis.fetch;
  /** Milliseconds, 10,000 by default. */
  readonly timeout?: number;
}

export interface Refreshed {
  readonly keyID: string;
  /** Whether the platform verified the token, so that it now has the present key set. */
  readonly accepted: boolean;
  /** The status of the answer. */
  readonly status: number;
}

/**
 * Requests one access token with the present key, so that the platform fetches the key set and drops a revoked key. Moodle needs this;
 * for platforms that fetch the key set each time it has no effect. The library never calls it by itself. It rejects if there is no
 * answer.
 */
export async function refreshPlatformCache(source: KeySource, options: RefreshOptions = {}): Promise<Refreshed> {
  const { scope = defaultScope, audience, fetch = globalThis.fetch, timeout = 10_000 } = options;
  const { keyID, registration } = source.current();
  const remedy = 'set spec.tokenEndpoint of the LtiRegistration';
  const url = required(registration.token_endpoint, source, 'token_endpoint', remedy);
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await signClientAssertion(source, audience === undefined ? {} : { audience }),
    scope,
  });
  const response = await fetch(url, { method: 'POST', body, signal: AbortSignal.timeout(timeout), redirect: 'error' });
  const answer = (await response.json().catch(() => undefined)) as { readonly error?: unknown } | null | undefined;
  // RFC 6749 §5.2: the client was authenticated, and only the scope was refused.
  const accepted = response.ok || answer?.error === 'invalid_scope';
  return { keyID, accepted, status: response.status };
}

const defaultScope = 'https://purl.imsglobal.org/spec/lti-ags/scope/lineitem.readonly';
