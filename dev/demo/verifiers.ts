import { createLocalJWKSet, createRemoteJWKSet, type JSONWebKeySet, jwtVerify, type JWTVerifyGetKey } from 'jose';
import type { SigningKey } from './tool.ts';

/** A platform's side. */
export interface Verifier {
  readonly name: string;
  /** For people: what it does with the set that it fetched. */
  readonly habit: string;
  /** Why the token is refused; undefined when it is accepted. */
  refusal(token: string, expected: Pick<SigningKey, 'clientID' | 'audience'>): Promise<string | undefined>;
}

/**
 * Two habits between which the platforms are. Both are scaled to the shortened delay: against the 20 minutes that the
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
      habit: `keeps what it fetched for ${held / 1000} s, whatever key ID it meets.`,
      refusal: refusalBy(stubbornKeySet(url, held)),
    },
  ];
}

function stubbornKeySet(url: URL, heldMs: number): JWTVerifyGetKey {
  let fetchedAt = -Infinity;
  let find: JWTVerifyGetKey;
  return async (header, token) => {
    const now = performance.now();
    if (now - fetchedAt > heldMs) {
      const response = await fetch(url);
      if (!response.ok) throw new Error(`the JWKS answers ${response.status}`);
      const keySet: JSONWebKeySet = JSON.parse(await response.text());
      find = createLocalJWKSet(keySet);
      fetchedAt = now;
    }
    return find(header, token);
  };
}

function refusalBy(keySet: JWTVerifyGetKey): Verifier['refusal'] {
  return async (token, { clientID, audience }) => {
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
