import type { LtiKey } from '../api/objects.ts';
import { type Duration, second } from '../domain/duration.ts';
import type { Collection } from '../kube/collection.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';

const interval: Duration = 5 * second;

/** How many private keys are sealed under each key-encryption key, as the LtiKeys say. */
export class KekUsage {
  readonly #keys: Pick<Collection<LtiKey>, 'list'>;
  readonly #log: Logger;
  /** What was said last; an ID stays, with 0, for as long as the process lives. */
  #counts: ReadonlyMap<string, number> = new Map<string, number>();

  constructor(options: { keys: Pick<Collection<LtiKey>, 'list'>; log: Logger }) {
    this.#keys = options.keys;
    this.#log = options.log;
  }

  async run(clock: Clock, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#look();
      await sleep(clock, interval, signal);
    }
  }

  counts(): ReadonlyMap<string, number> {
    const now = new Map([...this.#counts.keys()].map((kekID) => [kekID, 0]));
    for (const { status } of this.#keys.list()) {
      if (status?.kekID !== undefined) now.set(status.kekID, (now.get(status.kekID) ?? 0) + 1);
    }
    return now;
  }

  /** Tells of key-encryption keys that seal nothing any more. */
  #look(): void {
    const now = this.counts();
    for (const [kekID, count] of now) {
      const before = this.#counts.get(kekID) ?? 0;
      if (before > 0 && count === 0) {
        this.#log.info({ kekID }, 'no private key is sealed under this key-encryption key any more; it may be removed');
      }
    }
    this.#counts = now;
  }
}
