import type { Verdict } from './conditions.ts';
import { type Duration, type Instant, day, formatInstant, second } from './duration.ts';
import { activeKey, type Ledger, type LedgerKey, nextKey } from './ledger.ts';
import { isRotationHeld } from './preconditions.ts';
import type { Lifecycle } from './situation.ts';
import { activationTime } from './timing.ts';

/** Fetches of a registration's own document by clients other than the operator: the evidence that its platform reads the keys. */
export interface Fetches {
  /** The last one that is known. */
  readonly lastAt?: Instant;
  /** Whether every replica has reported its fetches lately; if not, there may be later ones. */
  readonly complete: boolean;
  /** Set if the operator collects no reports: with `--jwks-probe-url` and without `--jwks-admin-port`. */
  readonly notCollected?: true;
}

/** `status.lastFetchTime` is at most this old in comparison with the last fetch: 10,000 registrations write it 10,000 times a day. */
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
 * needs no fetch, because no rotation awaits it, it was fetched, or it is pasted at the platform.
 */
export function notFetchedTime(lifecycle: Lifecycle): Instant | undefined {
  const { registration, ledger, fetches, now } = lifecycle;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  if (!active || next?.publishedAt === undefined || isFetched(fetches, next) || !fetches.complete) return undefined;
  if (registration.keyDistribution === 'Manual' || isRotationHeld(lifecycle)) return undefined;
  const time = activationTime(next, active, registration, now);
  return time === undefined ? undefined : next.publishedAt + (time - next.publishedAt) / 2;
}

/** A warning that holds nothing: the platform may be unused, or a CDN may answer for the replicas. */
export function notFetchedVerdict(lifecycle: Lifecycle, jwksURL: string | undefined): Verdict | undefined {
  const { ledger, now } = lifecycle;
  const from = notFetchedTime(lifecycle);
  if (from === undefined || now < from) return undefined;
  const { keyID, publishedAt } = nextKey(ledger)!;
  const url = jwksURL ?? 'the document of the registration';
  const message = `no client has fetched ${url} since next key ${keyID} was published at ${formatInstant(publishedAt!)}, so the platform may reject what the tool signs after the rotation. Compare the key set URL at the platform: it may have a pasted key or another URL. If a CDN or proxy answers for the replicas, or the tool is not in use, no action is required; the rotation does not wait`;
  return { status: 'True', reason: 'NotFetched', message };
}

function recordedTime(text: string | undefined): Instant | undefined {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? undefined : time;
}
