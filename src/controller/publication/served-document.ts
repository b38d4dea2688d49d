import type { Duration } from '../../domain/duration.ts';
import type { ServedKeys } from './served-keys.ts';

/** What one replica serves at one path. */
export interface ServedDocument {
  /** Absent when it gave no answer that tells: whether it serves a key is not known then. */
  readonly keys?: ServedKeys;
  /** max-age + stale-while-revalidate + stale-if-error of its Cache-Control. */
  readonly cacheLifetime: Duration;
  /** For people, with the URL as its subject; set when it is not a readable key set. */
  readonly problem?: string;
  /** It says that it cannot have this document yet: 503. */
  readonly unavailable?: boolean;
}

export function noAnswer(problem: string): ServedDocument {
  return { cacheLifetime: 0, problem };
}
