import type { LtiRegistration } from '../api/objects.ts';
import type { LedgerKey } from './ledger.ts';

/** The files of a delivery Secret that have no private key, as text. docs/tools/use-the-key.md describes each of them. */
export function publicFiles(
  { jwksURL }: { readonly jwksURL: string | undefined },
  object: LtiRegistration,
  live: readonly LedgerKey[],
  active: LedgerKey | undefined,
): Readonly<Record<string, string>> {
  return {
    'jwks.json': JSON.stringify({ keys: live.map((key) => key.publicJWK) }),
    'registration.json': JSON.stringify(registrationEntry(object, jwksURL), undefined, 2),
    ...(active ? { kid: active.keyID } : {}),
  };
}

/** The registration with the names of OpenID Connect Discovery 1.0 §3 and RFC 7591, which tool libraries read. */
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
