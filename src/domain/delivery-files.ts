import type { LtiRegistration } from '../api/objects.ts';
import type { LedgerKey } from './ledger.ts';
import type { Situation } from './situation.ts';

/** The files of a delivery Secret. docs/tools/use-the-key.md describes each of them. */

/** Made from the private key. */
const keyFiles = ['private.jwk', 'private.pem', 'private.jwe', 'public.pem'];

export const deliveryFileNames: readonly string[] = [...keyFiles, 'kid', 'jwks.json', 'registration.json'];

/** The files made from the private key that the spec asks for. A recipient gets the key encrypted, and in no other form. */
export function wantedKeyFiles({ spec }: LtiRegistration): readonly string[] {
  const left = spec.delivery?.recipient ? ['private.jwk', 'private.pem'] : ['private.jwe'];
  return keyFiles.filter((name) => !left.includes(name) && isWanted(spec, name));
}

/** The files without a private key, of those that the spec asks for. */
export function publicFiles(
  urls: Pick<Situation, 'jwksURL' | 'namespaceJwksURL'>,
  { spec }: LtiRegistration,
  live: readonly LedgerKey[],
  active: LedgerKey | undefined,
): Readonly<Record<string, string>> {
  const all = {
    'jwks.json': JSON.stringify({ keys: live.map((key) => key.publicJWK) }),
    'registration.json': asText(registrationEntry(spec, urls, active)),
    ...(active ? { kid: active.keyID } : {}),
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => isWanted(spec, name)));
}

/** The files without what names the key. */
export function withoutKey(entries: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { kid: _, 'registration.json': registration, ...rest } = entries;
  if (registration === undefined) return rest;
  try {
    const { kid: __, revision: ___, ...members } = JSON.parse(registration);
    return { ...rest, 'registration.json': asText(members) };
  } catch {
    // It was edited. The next write of the key replaces it.
    return rest;
  }
}

function isWanted({ delivery }: LtiRegistration['spec'], name: string): boolean {
  const files: readonly string[] | undefined = delivery?.files;
  return files === undefined || files.includes(name);
}

function asText(value: object): string {
  return JSON.stringify(value, undefined, 2);
}

/**
 * The registration under the names of OpenID Connect Discovery 1.0 §3, RFC 7591 and LTI Dynamic Registration 1.0 §2.1, which tool
 * libraries read. Nothing in it changes between two activations, so that a rotation writes it once.
 */
function registrationEntry(
  spec: LtiRegistration['spec'],
  urls: Pick<Situation, 'jwksURL' | 'namespaceJwksURL'>,
  active: LedgerKey | undefined,
): object {
  return {
    issuer: spec.issuer,
    client_id: spec.clientID,
    authorization_endpoint: spec.authorizationEndpoint,
    token_endpoint: spec.tokenEndpoint,
    token_audience: spec.tokenAudience ?? spec.tokenEndpoint,
    authorization_server: spec.tokenAudience ?? spec.tokenEndpoint,
    jwks_uri: spec.jwksURI,
    deployment_ids: spec.deploymentIDs,
    platform: spec.platform,
    tool_jwks_uri: urls.jwksURL,
    namespace_jwks_uri: urls.namespaceJwksURL,
    kid: active?.keyID,
    revision: active?.revision,
  };
}
