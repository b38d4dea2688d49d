import type { Clock } from '../lib/clock.ts';
import { inParallel } from '../lib/in-parallel.ts';
import type { Logger } from '../observability/log.ts';
import type { KeySource } from './key-source.ts';
import type { PublishedKeys } from './published-keys.ts';

/** LtiKeys that the API server is asked for at a time. */
const questionsAtATime = 8;
/** What the operator may need beyond a grace period to put an LtiKey back once it can again: it tries at least every minute. */
const returnMs = 45_000;

export interface DeparturesOptions {
  readonly keys: PublishedKeys;
  readonly source: Pick<KeySource, 'confirmGone'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** A key of this registration was given up. */
  readonly changed: (namespace: string, registration: string) => void;
}

/** Gives up the keys whose grace period is over and whose LtiKey is really gone; the others get another one. */
export async function settleDepartures({ keys, source, clock, log, changed }: DeparturesOptions): Promise<void> {
  await inParallel(keys.expired(clock.monotonic()), questionsAtATime, async (departed) => {
    const { namespace, name, keyID, registration, cleared, doubted } = departed;
    const gone = cleared || (await source.confirmGone(namespace, name, keyID).catch(() => undefined));
    if (gone && doubted) keys.keep(departed, clock.monotonic() + returnMs, false);
    else if (gone) {
      keys.forget(departed);
      log.info({ namespace, name }, 'LtiKey is gone, its key leaves the documents');
      changed(namespace, registration);
    } else keys.keep(departed, clock.monotonic(), gone === undefined);
  });
}
