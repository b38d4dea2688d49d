import type { Duration } from '../../domain/duration.ts';
import type { ServedKeySet } from './served-key-set.ts';

/** What one replica serves at one path. */
export interface FetchedDocument {
  /** Absent if the response does not show whether the replica serves a key. */
  readonly keys?: ServedKeySet;
  /** max-age + stale-while-revalidate + stale-if-error of its Cache-Control. */
  readonly cacheLifetime: Duration;
  /** A predicate for messages, with the URL as its subject; set unless the response is a readable JWK Set. */
  readonly problem?: string;
  /** The replica does not have this document yet: 503. */
  readonly unavailable?: boolean;
}

/** A document whose keys are unknown. */
export function unknownDocument(problem: string): FetchedDocument {
  return { cacheLifetime: 0, problem };
}
