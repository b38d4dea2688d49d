import { type Duration, formatDuration, formatInstant, hour, type Instant } from './duration.ts';

/**
 * Removal from the JWKS is not revocation everywhere: a platform may keep using the key set that it fetched before. What each one
 * does was read in its source code, if that is open (Canvas, Moodle, Sakai, Open edX), and inferred from error messages
 * (Blackboard). For the others it is the longest lifetime found in any LTI platform.
 */

interface Acceptance {
  /** How long after its removal a revoked key may still be accepted; `undefined`: without a time limit. */
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

/** The recommended lifetime of access tokens, 3600 s (1EdTech Security Framework 1.0 §7.1). They outlive the key. */
const accessTokenLifetime: Duration = hour;

export interface RevocationVerdict {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: 'RevocationEffective' | 'RevocationPending' | 'RevokedKeyStillServed';
  readonly message: string;
}

export interface RevocationFacts {
  readonly platform: string;
  readonly keyID: string;
  /** Since when the key has been observed absent from every ready replica and the public URL. */
  readonly absentAt: Instant | undefined;
  /** The longest cache lifetime announced with documents that had the key. */
  readonly cacheLifetime: Duration;
  /** Which replica still serves it or did not answer, as part of a sentence. */
  readonly stillServed: string | undefined;
  readonly now: Instant;
}

export function stillServedVerdict(keyID: string, where: string): RevocationVerdict {
  return {
    status: 'False',
    reason: 'RevokedKeyStillServed',
    message: `revoked key ${keyID} may still be served: ${where}`,
  };
}

/**
 * Whether the platform refuses the revoked key by now, or until when it may accept it. What a platform and the caches in front of
 * it hold expires only from the moment at which no replica serves the key any more.
 */
export function revocationVerdict(facts: RevocationFacts): RevocationVerdict {
  const { keyID, absentAt, cacheLifetime, stillServed, now } = facts;
  if (stillServed !== undefined || absentAt === undefined)
    return stillServedVerdict(keyID, stillServed ?? 'no replica was checked since the revocation');
  const platform = facts.platform === 'Other' ? 'the platform' : facts.platform;
  const acceptance = acceptances[facts.platform] ?? unknown;
  const { upTo, because } = longestHeld(acceptance, cacheLifetime);
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

/** Even if the platform itself keeps no key set, a cache between it and the replicas may. */
function longestHeld(acceptance: Acceptance, cacheLifetime: Duration): Acceptance {
  if (acceptance.upTo === undefined || acceptance.upTo >= cacheLifetime) return acceptance;
  return {
    upTo: cacheLifetime,
    because: `caches between it and the operator may keep a document with the key for ${formatDuration(cacheLifetime)}`,
  };
}
