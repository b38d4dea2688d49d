import { type Duration, type Instant, day, formatInstant, second } from './duration.ts';
import { activeKey, type Ledger, type LedgerKey, nextKey } from './ledger.ts';
import { fetchesOnlyAfterUse } from './platforms.ts';
import type { Lifecycle } from './situation.ts';
import { activationTime, isRotationHeld } from './timing.ts';
import type { Verdict } from './verdict.ts';

/** Fetches of a registration's own document by clients other than the operator: the evidence that its platform reads the keys. */
export interface Fetches {
  /** The last one that is known. */
  readonly lastAt?: Instant;
  /** Whether every replica has reported its fetches lately; if not, there may be later ones. */
  readonly complete: boolean;
  /** Set if the operator collects no reports: with `--jwks-probe-url` and without `--jwks-admin-port`. */
  readonly notCollected?: true;
}

/** `status.lastFetchTime` lags the last fetch by at most this, so that 10,000 registrations write it 10,000 times a day. */
export const fetchTimeStep: Duration = day;

/** What the replicas report, and what the status recorded before they were restarted. A record of the future is ignored. */
export function knownFetches(reported: Fetches | undefined, recorded: string | undefined, now: Instant): Fetches {
  const times = [reported?.lastAt, recordedTime(recorded)].filter((time) => time !== undefined && time <= now);
  return {
    complete: reported?.complete ?? false,
    ...(reported?.notCollected ? { notCollected: true } : {}),
    ...(times.length === 0 ? {} : { lastAt: Math.max(...times.map(Number)) }),
  };
}

/** Whether the platform is known to have fetched the document since every replica has served the key. */
export function isFetched({ lastAt }: Fetches, { publishedAt }: LedgerKey): boolean {
  return lastAt !== undefined && publishedAt !== undefined && lastAt >= publishedAt;
}

/** Replicas report how long ago a fetch was, in whole seconds. */
const fetchAccuracy: Duration = 2 * second;

/** Whether the document was fetched after the revoked key had been observed absent from it. */
export function isFetchedWithout({ lastAt }: Fetches, { absentAt }: Pick<LedgerKey, 'absentAt'>): boolean {
  return lastAt !== undefined && absentAt !== undefined && lastAt >= absentAt + fetchAccuracy;
}

/**
 * The `status.lastFetchTime` to write. It changes only in steps, and for the first fetch of a next key or without a revoked one, which
 * the operator must know after a restart of all replicas.
 */
export function fetchTimeToRecord(
  fetches: Fetches,
  recorded: string | undefined,
  ledger: Pick<Ledger, 'keys'>,
): Instant | undefined {
  const { lastAt } = fetches;
  const before = recordedTime(recorded);
  if (lastAt === undefined || before === undefined || before > lastAt) return lastAt;
  const earlier = { ...fetches, lastAt: before };
  const isNews = ledger.keys.some((key) =>
    key.state === 'Next'
      ? isFetched(fetches, key) && !isFetched(earlier, key)
      : key.state === 'Revoked' && isFetchedWithout(fetches, key) && !isFetchedWithout(earlier, key),
  );
  return isNews || lastAt - before >= fetchTimeStep ? lastAt : before;
}

/**
 * When a next key that no client has fetched is reported: half-way between its publication and its activation. `undefined` if it
 * needs no fetch, because no rotation awaits it, it was fetched, it is pasted at the platform, or the platform fetches it after use.
 */
export function notFetchedTime(lifecycle: Lifecycle): Instant | undefined {
  const { registration, ledger, fetches, now } = lifecycle;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  if (!active || next?.publishedAt === undefined || isFetched(fetches, next) || !fetches.complete) return undefined;
  const { keyDistribution, platform } = registration;
  if (keyDistribution === 'Manual' || fetchesOnlyAfterUse(platform) || isRotationHeld(lifecycle)) return undefined;
  const time = activationTime(next, active, registration, now);
  return time === undefined ? undefined : next.publishedAt + (time - next.publishedAt) / 2;
}

/**
 * Whether `spec.activation: AfterFetch` holds the next key: no client is known to have fetched it, and no person has released it. A
 * key that follows a revocation is not held, nor one for a platform that fetches a key only after use: the API server refuses AfterFetch
 * there, but may have stored it before that rule.
 */
export function awaitsFetch({ registration, fetches }: Lifecycle, next: LedgerKey): boolean {
  const { activation, keyDistribution, platform, acknowledgedKeyID } = registration;
  if (activation !== 'AfterFetch' || keyDistribution === 'Manual' || next.cause === 'Revocation') return false;
  if (fetchesOnlyAfterUse(platform)) return false;
  return acknowledgedKeyID !== next.keyID && !isFetched(fetches, next);
}

/** What a next key that no client has fetched requires of a person: it is held, or a rotation will take place without a fetch. */
export function fetchVerdict(lifecycle: Lifecycle, jwksURL = 'the document of the registration'): Verdict | undefined {
  if (isHeldForFetch(lifecycle)) return heldVerdict(lifecycle, jwksURL);
  const { ledger, now } = lifecycle;
  const from = notFetchedTime(lifecycle);
  if (from === undefined || now < from) return undefined;
  const next = nextKey(ledger)!;
  const since = `no client has fetched ${jwksURL} since next key ${next.keyID} was published at ${formatInstant(next.publishedAt!)}`;
  const outlook = awaitsFetch(lifecycle, next)
    ? 'so it does not sign before that (spec.activation is AfterFetch)'
    : 'so the platform may reject what the tool signs after the rotation';
  const otherwise = awaitsFetch(lifecycle, next)
    ? ''
    : '. If a CDN or proxy answers for the replicas, or the tool is not in use, no action is required; the rotation does not wait';
  return { status: 'True', reason: 'NotFetched', message: `${since}, ${outlook}. ${comparison}${otherwise}` };
}

const comparison = 'Compare the key set URL at the platform: it may have a pasted key or another URL';

/** Whether the missing fetch is all that the activation of the next key waits for, apart from replicas. */
export function isHeldForFetch(lifecycle: Lifecycle): boolean {
  const { registration, ledger, now } = lifecycle;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  if (!active || !next || isRotationHeld(lifecycle) || !awaitsFetch(lifecycle, next)) return false;
  const time = activationTime(next, active, registration, now);
  return time !== undefined && time <= now;
}

function heldVerdict({ ledger, fetches }: Lifecycle, jwksURL: string): Verdict {
  const { keyID, publishedAt } = nextKey(ledger)!;
  const held = `next key ${keyID} is due and does not sign, because spec.activation is AfterFetch and no client is known to have fetched ${jwksURL} since ${formatInstant(publishedAt!)}`;
  const release = `To let the key sign nevertheless, set spec.acknowledgedKeyID to ${keyID}, or spec.activation to AfterDelay`;
  return { status: 'True', reason: 'FetchRequired', message: `${held}. ${adviceFor(fetches)}. ${release}` };
}

function adviceFor({ complete, notCollected }: Fetches): string {
  if (notCollected)
    return 'The operator collects no fetches, because it has --jwks-probe-url and no --jwks-admin-port: set that option';
  if (!complete)
    return 'Not every replica reports its fetches, so there may have been some: the log of the leading controller says which replica and why';
  return comparison;
}

function recordedTime(text: string | undefined): Instant | undefined {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? undefined : time;
}
