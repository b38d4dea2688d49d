import { type Duration, formatDuration, formatInstant, hour, type Instant } from './duration.ts';

/**
 * Removal from the JWKS is not revocation everywhere: a platform may go on with the set it fetched before. What each one
 * does was read in its source where that is open (Canvas, Moodle, Sakai, Open edX) and inferred from error messages
 * (Blackboard); for the rest it is the longest lifetime found in any LTI platform.
 */

interface Acceptance {
  /** How long after the removal a revoked key may still be accepted; `undefined`: without a limit in time. */
  readonly upTo: Duration | undefined;
  readonly because: string;
}

const fetchesEachTime: Acceptance = { upTo: 0, because: 'it fetches the key set for every token request' };
const unknown: Acceptance = { upTo: 24 * hour, because: 'it may keep a fetched key set for a day' };

const acceptances: Readonly<Record<string, Acceptance>> = {
  Canvas: fetchesEachTime,
  Sakai: fetchesEachTime,
  OpenEdX: fetchesEachTime,
  Moodle: {
    upTo: undefined,
    because:
      'it keeps a fetched key set until it receives a token signed with another key: let the tool request one access token with the new key',
  },
  Blackboard: { upTo: 10 * hour, because: 'it may keep a fetched key for 10 hours' },
  Brightspace: unknown,
  Other: unknown,
};

/** Access tokens that were granted before live on (1EdTech Security Framework 1.0 §7.1: 3600 s is the recommendation). */
const accessTokenLifetime: Duration = hour;

export interface RevocationVerdict {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: 'RevocationEffective' | 'RevocationPending' | 'RevokedKeyStillServed';
  readonly message: string;
}

export interface RevocationFacts {
  readonly platform: string;
  readonly keyID: string;
  /** When it was first observed to be absent from every ready replica and the public URL. */
  readonly absentAt: Instant | undefined;
  /** The longest cache lifetime announced with documents that had the key. */
  readonly cacheLifetime: Duration;
  /** Who still serves it or gave no answer, as a sentence part; `undefined`: nobody, as far as anybody was asked. */
  readonly stillServed: string | undefined;
  readonly now: Instant;
}

/**
 * Whether the platform can be relied on to refuse the revoked key by now, and until when it may not. What a platform and
 * the caches before it hold ages only from the moment at which nobody hands it out any more.
 */
export function revocationVerdict(facts: RevocationFacts): RevocationVerdict {
  const { keyID, absentAt, cacheLifetime, stillServed, now } = facts;
  const platform = facts.platform === 'Other' ? 'the platform' : facts.platform;
  if (stillServed !== undefined) {
    const message = `revoked key ${keyID} may still be served: ${stillServed}`;
    return { status: 'False', reason: 'RevokedKeyStillServed', message };
  }
  if (absentAt === undefined) {
    const message = `${platform} may accept revoked key ${keyID}: the replicas have not been asked yet whether they still serve it`;
    return { status: 'Unknown', reason: 'RevocationPending', message };
  }
  const acceptance = acceptances[facts.platform] ?? unknown;
  const { upTo, because } = heldLongest(acceptance, cacheLifetime);
  const tokens = `access tokens issued earlier stay valid for up to ${formatDuration(accessTokenLifetime)} more`;
  if (upTo === undefined) {
    const message = `${platform} may still accept revoked key ${keyID}: ${because}; ${tokens}`;
    return { status: 'Unknown', reason: 'RevocationPending', message };
  }
  const until = absentAt + upTo;
  if (now < until) {
    const message = `${platform} may still accept revoked key ${keyID} until ${formatInstant(until)}: ${because}; ${tokens}`;
    return { status: 'False', reason: 'RevocationPending', message };
  }
  const message = `${platform} no longer accepts revoked key ${keyID}: ${acceptance.because}; ${tokens}`;
  return { status: 'True', reason: 'RevocationEffective', message };
}

/** A platform that keeps nothing may still be given the key by a cache between it and the replicas. */
function heldLongest(acceptance: Acceptance, cacheLifetime: Duration): Acceptance {
  if (acceptance.upTo === undefined || acceptance.upTo >= cacheLifetime) return acceptance;
  return {
    upTo: cacheLifetime,
    because: `caches between it and the operator may keep a document with the key for ${formatDuration(cacheLifetime)}`,
  };
}
