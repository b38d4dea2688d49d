import { type Duration, type Instant, day } from './duration.ts';
import type { LedgerKey } from './ledger.ts';

/** Fetches of a registration's own document by clients other than the operator: the evidence that its platform reads the keys. */
export interface Fetches {
  /** The last one that is known. */
  readonly lastAt?: Instant;
  /** Whether every replica has reported its fetches lately; if not, there may be later ones. */
  readonly complete: boolean;
}

/** `status.lastFetchTime` is at most this old in comparison with the last fetch: 10,000 registrations write it 10,000 times a day. */
export const fetchTimeStep: Duration = day;

/** What the replicas report, and what the status recorded before they were restarted. A record of the future is ignored. */
export function knownFetches(reported: Fetches | undefined, recorded: string | undefined, now: Instant): Fetches {
  const times = [reported?.lastAt, recordedTime(recorded)].filter((time) => time !== undefined && time <= now);
  const complete = reported?.complete ?? false;
  return times.length === 0 ? { complete } : { lastAt: Math.max(...times.map(Number)), complete };
}

/** Whether the platform is known to have fetched the document since every replica has served the key. */
export function isFetched({ lastAt }: Fetches, { publishedAt }: LedgerKey): boolean {
  return lastAt !== undefined && publishedAt !== undefined && lastAt >= publishedAt;
}

/**
 * The `status.lastFetchTime` to write. It changes only in steps, and for the first fetch of a next key, which the operator must
 * know after a restart of all replicas.
 */
export function fetchTimeToRecord(
  fetches: Fetches,
  recorded: string | undefined,
  next: LedgerKey | undefined,
): Instant | undefined {
  const { lastAt } = fetches;
  const before = recordedTime(recorded);
  if (lastAt === undefined || before === undefined || before > lastAt) return lastAt;
  const isNews = next !== undefined && isFetched(fetches, next) && !isFetched({ ...fetches, lastAt: before }, next);
  return isNews || lastAt - before >= fetchTimeStep ? lastAt : before;
}

function recordedTime(text: string | undefined): Instant | undefined {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? undefined : time;
}
