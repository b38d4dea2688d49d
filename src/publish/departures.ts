import type { Clock } from '../lib/clock.ts';
import { inParallel } from '../lib/in-parallel.ts';
import type { Logger } from '../observability/log.ts';
import type { KeySource } from './key-source.ts';
import type { PublishedKeys } from './published-keys.ts';

const requestsAtATime = 8;
/** The operator retries at least every minute: after a grace period it needs this long to recreate an LtiKey once it can. */
const recreationMs = 45_000;

export interface DeparturesOptions {
  readonly keys: PublishedKeys;
  readonly source: Pick<KeySource, 'confirmGone'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called after a key of this registration was dropped. */
  readonly changed: (namespace: string, registration: string) => void;
}

/** Drops the keys whose grace period is over and whose LtiKey does not exist; the others get another grace period. */
export async function confirmDepartures({ keys, source, clock, log, changed }: DeparturesOptions): Promise<void> {
  await inParallel(keys.expired(clock.monotonic()), requestsAtATime, async (absent) => {
    const { name, key, cleared = false, unconfirmed = false } = absent;
    const { namespace, registration, publicJWK } = key;
    const gone = cleared || (await source.confirmGone(namespace, name, publicJWK.kid).catch(() => undefined));
    if (gone && unconfirmed) keys.keep(absent, clock.monotonic() + recreationMs, false);
    else if (gone) {
      keys.forget(absent);
      log.info({ namespace, name }, 'LtiKey is gone, removing its key from the documents');
      changed(namespace, registration);
    } else keys.keep(absent, clock.monotonic(), gone === undefined);
  });
}
