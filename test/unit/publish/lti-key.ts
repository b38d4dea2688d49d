import type { LtiKeyFacts } from '../../../src/publish/published-keys.ts';

/** An LtiKey of namespace gradebook; `state` undefined leaves out the whole status. */
export function ltiKey(registration: string, revision: number, state: string | undefined): LtiKeyFacts {
  const n = Buffer.alloc(256, revision).fill(0x80, 0, 1).toString('base64url');
  return {
    metadata: { namespace: 'gradebook', name: `${registration}-${revision}` },
    spec: {
      registrationRef: { name: registration },
      revision,
      publicJWK: { kty: 'RSA', use: 'sig', alg: 'RS256', kid: `${registration}-${revision}`, n, e: 'AQAB' },
    },
    ...(state !== undefined && { status: { state } }),
  };
}
