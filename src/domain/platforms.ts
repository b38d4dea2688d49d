import { type Duration, formatDuration, formatInstant, hour, type Instant } from './duration.ts';

/**
 * Removal from the JWKS is not revocation everywhere: a platform may keep using the key set that it fetched before. What each one
 * does was read in its source code, if that is open (Canvas, Moodle, Sakai, Open edX), and inferred from error messages
 * (Blackboard). For the others it is the longest lifetime found in any LTI platform.
 */

interface KeySetUse {
  /** What the platform does with a key set; the subject is the platform. */
  readonly habit: string;
  /** How long after its removal a revoked key may still be accepted; `undefined` if there is no time limit. */
  readonly acceptsFor: Duration | undefined;
  /** How to make it refuse the key. */
  readonly remedy?: string;
  /** What else matters in a rotation. */
  readonly note?: string;
  /** Whether it has no reason to fetch a key before it receives a token that the key signed. */
  readonly fetchesAfterUse?: true;
}

const fetchesEachTime: KeySetUse = { habit: 'fetches the key set for every token request', acceptsFor: 0 };
const unknown: KeySetUse = { habit: 'may keep a fetched key set for a day', acceptsFor: 24 * hour };

const platforms: Readonly<Record<string, KeySetUse>> = {
  Canvas: fetchesEachTime,
  Sakai: fetchesEachTime,
  OpenEdX: { ...fetchesEachTime, note: 'tries every key, whatever its ID' },
  Moodle: {
    habit: 'keeps a fetched key set until it receives a token signed with another key',
    acceptsFor: undefined,
    remedy: 'let the tool request one access token with the new key',
    fetchesAfterUse: true,
  },
  Blackboard: {
    habit: 'may keep a fetched key for 10 hours',
    acceptsFor: 10 * hour,
    note: 'fetches the key set if a key ID is unknown',
    fetchesAfterUse: true,
  },
  Brightspace: { ...unknown, note: 'does not document how long it keeps the key set' },
};

/** What a platform does with a key set, and how long it accepts a removed key; `undefined` for an unknown platform. */
export function describeKeySetUse(platform: string): string | undefined {
  const use = platforms[platform];
  if (use === undefined) return undefined;
  const { habit, note, acceptsFor } = use;
  const removed =
    acceptsFor === undefined
      ? 'a removed key may be accepted until then'
      : acceptsFor === 0
        ? 'a removed key is refused at once'
        : `a removed key may be accepted for ${formatDuration(acceptsFor)}`;
  return [habit, ...(note === undefined ? [] : [note]), removed].join('; ');
}

/** Whether a platform, as far as is known, fetches a key only after that key has signed. A rule of the CRD names the same ones. */
export function fetchesOnlyAfterUse(platform: string): boolean {
  return platforms[platform]?.fetchesAfterUse ?? false;
}

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
  /** When a client last fetched the document without the key; `undefined` if no fetch of it is known. */
  readonly fetchedAt: Instant | undefined;
  /** Whether a user found that the platform no longer accepts the key. */
  readonly isAcknowledged: boolean;
  readonly now: Instant;
}

export const notChecked = 'no replica was checked since the revocation';

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
  const { keyID, absentAt, cacheLifetime, stillServed, fetchedAt, isAcknowledged, now } = facts;
  if (stillServed !== undefined || absentAt === undefined) return stillServedVerdict(keyID, stillServed ?? notChecked);
  const platform = facts.platform === 'Other' ? 'the platform' : facts.platform;
  const use = platforms[facts.platform] ?? unknown;
  const { acceptsFor, because } = longestHeld(use, cacheLifetime);
  const tokens = `access tokens issued earlier stay valid for up to ${formatDuration(accessTokenLifetime)} more`;
  if (isAcknowledged) {
    const message = `${platform} no longer accepts revoked key ${keyID}, as a user acknowledged; ${tokens}`;
    return { status: 'True', reason: 'RevocationEffective', message };
  }
  if (acceptsFor === undefined && fetchedAt !== undefined) {
    const message = `a client fetched the key set at ${formatInstant(fetchedAt)}, after revoked key ${keyID} had left it. If that was ${platform}, it no longer accepts the key; ${tokens}`;
    return { status: 'True', reason: 'RevocationEffective', message };
  }
  if (acceptsFor === undefined) {
    const message = `${platform} may still accept revoked key ${keyID}: ${because}; ${tokens}`;
    return { status: 'Unknown', reason: 'RevocationPending', message };
  }
  const until = absentAt + acceptsFor;
  if (now < until) {
    const message = `${platform} may still accept revoked key ${keyID} until ${formatInstant(until)}: ${because}; ${tokens}`;
    return { status: 'False', reason: 'RevocationPending', message };
  }
  const message = `${platform} no longer accepts revoked key ${keyID}: ${reasonOf(use)}; ${tokens}`;
  return { status: 'True', reason: 'RevocationEffective', message };
}

function reasonOf({ habit, remedy }: KeySetUse): string {
  return `it ${habit}${remedy === undefined ? '' : `: ${remedy}`}`;
}

/** Even if the platform itself keeps no key set, a cache between it and the replicas may. */
function longestHeld(use: KeySetUse, cacheLifetime: Duration): { acceptsFor: Duration | undefined; because: string } {
  const { acceptsFor } = use;
  if (acceptsFor === undefined || acceptsFor >= cacheLifetime) return { acceptsFor, because: reasonOf(use) };
  return {
    acceptsFor: cacheLifetime,
    because: `caches between it and the operator may keep a document with the key for ${formatDuration(cacheLifetime)}`,
  };
}
