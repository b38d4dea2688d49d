import { type Duration, second } from '../../domain/duration.ts';
import type { Observation } from '../../domain/situation.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import { type ObjectKey, splitKey } from '../../kube/objects.ts';
import type { KeysToObserve, PublicationObserver } from './observer.ts';

const turn: Duration = second / 4;
/** Registrations that are observed per turn: 500 a second in all, for any number of pending ones. */
const perTurn = 125;
/** While a replica does not respond, no publication can become complete; 40 a second keep what is known of the other replicas current. */
const perTurnWhileUnresponsive = 10;
/** The longest time between two observations of a registration, unless unresponsive replicas respond again. */
const longestInterval: Duration = 30 * second;

interface Pending {
  readonly keys: KeysToObserve;
  /** What the last reconcile observed. */
  readonly outcome: string;
  /** Monotonic milliseconds. */
  readonly since: number;
  dueAt: number;
}

export interface PendingPublicationsOptions {
  readonly observer: PublicationObserver;
  readonly clock: Clock;
  /** The replicas no longer serve what the last reconcile observed. */
  readonly changed: (key: ObjectKey) => void;
}

/**
 * Registrations with a key that some replica does not serve yet, or still serves. This class polls the replicas, and enqueues a
 * registration only if the outcome has changed. So the wait costs the API server nothing, for any length of time and any number
 * of registrations.
 *
 * While a replica does not respond, no key is known to be served by all replicas, so the rate is lower. When the last replica
 * responds again, all pending registrations are due at once, at the usual rate.
 */
export class PendingPublications implements PublicationObserver {
  readonly #options: PendingPublicationsOptions;
  /** The least recently observed first. */
  readonly #pending = new Map<ObjectKey, Pending>();

  constructor(options: PendingPublicationsOptions) {
    this.#options = options;
  }

  /** How many registrations are pending. */
  get size(): number {
    return this.#pending.size;
  }

  isAnyUnresponsive(): boolean {
    return this.#options.observer.isAnyUnresponsive();
  }

  /** Observes as the observer does, and keeps the registration as pending if the publication is not complete. */
  async observe(namespace: string, registration: string, keys: KeysToObserve): Promise<Observation> {
    const observation = await this.#options.observer.observe(namespace, registration, keys);
    const key: ObjectKey = `${namespace}/${registration}`;
    this.#pending.delete(key);
    if (!isComplete(keys, observation)) {
      const now = this.#options.clock.monotonic();
      this.#pending.set(key, { keys, outcome: outcomeOf(observation), since: now, dueAt: now + turn });
    }
    return observation;
  }

  /** A reconcile of the registration begins, which observes it again if necessary. */
  remove(key: ObjectKey): void {
    this.#pending.delete(key);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, observer } = this.#options;
    let unresponsive = false;
    while (!signal.aborted) {
      await sleep(clock, turn, signal);
      if (unresponsive && !observer.isAnyUnresponsive()) this.#makeAllDue();
      unresponsive = observer.isAnyUnresponsive();
      const due = this.#due(unresponsive ? perTurnWhileUnresponsive : perTurn);
      await Promise.all(due.map(([key, pending]) => this.#poll(key, pending)));
    }
    this.#pending.clear();
  }

  #makeAllDue(): void {
    for (const pending of this.#pending.values()) pending.dueAt = 0;
  }

  #due(most: number): readonly (readonly [ObjectKey, Pending])[] {
    const now = this.#options.clock.monotonic();
    const due: (readonly [ObjectKey, Pending])[] = [];
    for (const entry of this.#pending) {
      if (due.length === most) break;
      if (entry[1].dueAt <= now) due.push(entry);
    }
    return due;
  }

  async #poll(key: ObjectKey, pending: Pending): Promise<void> {
    const { observer, clock, changed } = this.#options;
    const { namespace, name } = splitKey(key);
    // The reconcile that follows meets the same error and reports it.
    const observation = await observer.observe(namespace, name, pending.keys).catch(() => undefined);
    if (this.#pending.get(key) !== pending) return;
    this.#pending.delete(key);
    if (!observation || outcomeOf(observation) !== pending.outcome) return changed(key);
    const now = clock.monotonic();
    pending.dueAt = now + Math.min(longestInterval, Math.max(turn, (now - pending.since) / 4));
    this.#pending.set(key, pending);
  }
}

function isComplete({ present, absent }: KeysToObserve, { servedKeyIDs, absentKeyIDs }: Observation): boolean {
  return present.every(({ kid }) => servedKeyIDs.has(kid)) && absent.every(({ kid }) => absentKeyIDs.has(kid));
}

/** Without the failures of single replicas, which the status shows after the next reconcile. */
function outcomeOf({ servedKeyIDs, missingKeyIDs, absentKeyIDs }: Observation): string {
  return JSON.stringify([servedKeyIDs, missingKeyIDs, absentKeyIDs].map((keyIDs) => [...keyIDs].toSorted()));
}
