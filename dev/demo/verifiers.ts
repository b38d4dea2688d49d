import { createLocalJWKSet, createRemoteJWKSet, type JSONWebKeySet, jwtVerify, type JWTVerifyGetKey } from 'jose';
import type { Delivery } from '../../tool/typescript/src/tool-keys.ts';

/** A platform's side. */
export interface Verifier {
  readonly name: string;
  /** For people: what it does with the set that it fetched. */
  readonly habit: string;
  /** Why the token is refused; undefined when it is accepted. */
  refusal(token: string, expected: Pick<Delivery, 'registration'>): Promise<string | undefined>;
}

/**
 * The two extremes between which platforms cache. Both are scaled to the shortened delay: against the 20 minutes that the
 * delay has at least, jose's pause of 30 s between two fetches is a fortieth.
 *
 * @param activationDelay milliseconds
 */
export function verifiers(jwksUrl: string, activationDelay: number): readonly Verifier[] {
  const url = new URL(jwksUrl);
  const held = 0.9 * activationDelay;
  return [
    {
      name: 'jose',
      habit: 'fetches the JWKS again when it meets an unknown key ID (createRemoteJWKSet).',
      refusal: refusalBy(createRemoteJWKSet(url, { cooldownDuration: activationDelay / 40 })),
    },
    {
      name: 'stubborn',
      habit: `uses a JWKS that it fetched up to ${held / 1000} s ago, even for unknown key IDs.`,
      refusal: refusalBy(stubbornKeySet(url, held)),
    },
  ];
}

/**
 * The unluckiest of many verifiers that fetch out of step: each token is checked with the oldest set that one of them may
 * still hold. Which of them meets a new key first is thus not left to chance.
 */
function stubbornKeySet(url: URL, heldMs: number): JWTVerifyGetKey {
  let held: readonly { readonly fetchedAt: number; readonly find: JWTVerifyGetKey }[] = [];
  return async (header, token) => {
    const now = performance.now();
    const find = await fetchKeySet(url).catch(() => undefined);
    held = [...held.filter(({ fetchedAt }) => now - fetchedAt <= heldMs), ...(find ? [{ fetchedAt: now, find }] : [])];
    if (!held[0]) throw new Error('the JWKS gives no answer');
    return held[0].find(header, token);
  };
}

async function fetchKeySet(url: URL): Promise<JWTVerifyGetKey> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the JWKS answers ${response.status}`);
  const keySet: JSONWebKeySet = JSON.parse(await response.text());
  return createLocalJWKSet(keySet);
}

function refusalBy(keySet: JWTVerifyGetKey): Verifier['refusal'] {
  return async (token, { registration }) => {
    const { client_id: clientID = '', token_audience: audience = '' } = registration;
    try {
      await jwtVerify(token, keySet, {
        algorithms: ['RS256'],
        issuer: clientID,
        subject: clientID,
        audience,
        requiredClaims: ['iat', 'exp', 'jti'],
      });
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : 'unknown reason';
    }
  };
}
