import { createHash } from 'node:crypto';
import { rsaThumbprint } from '../../src/lib/thumbprint.ts';
import type { LtiKeyFacts } from '../../src/publish/published-key.ts';

const names = new Map<string, string>();

/** The name of the LtiKey that was made here with this key ID. */
export function nameOfKey(kid: string): string | undefined {
  return names.get(kid);
}

/** An LtiKey of namespace gradebook; `state` undefined leaves out the whole status. Its key ID is its thumbprint. */
export function ltiKey(registration: string, revision: number, state: string | undefined): LtiKeyFacts {
  const name = `${registration}-${revision}`;
  const octets = Buffer.alloc(256, createHash('sha256').update(name).digest()).fill(0x80, 0, 1);
  const publicHalf = { n: octets.toString('base64url'), e: 'AQAB' };
  const kid = rsaThumbprint(publicHalf);
  names.set(kid, name);
  return {
    metadata: { namespace: 'gradebook', name },
    spec: {
      registrationRef: { name: registration },
      revision,
      publicJWK: { kty: 'RSA', use: 'sig', alg: 'RS256', kid, ...publicHalf },
    },
    ...(state !== undefined && { status: { state } }),
  };
}
