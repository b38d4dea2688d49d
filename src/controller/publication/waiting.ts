import { type Duration, second } from '../../domain/duration.ts';
import type { Observation } from '../../domain/situation.ts';
import { inParallel } from '../../lib/in-parallel.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import { type ObjectKey, splitKey } from '../../kube/objects.ts';
import type { KeysToObserve, PublicationObserver } from './observer.ts';

const turn: Duration = second / 4;
/** Registrations that are asked about in a turn: 500 a second in all, however many wait. */
const perTurn = 125;
const atATime = 20;
/** A registration that has waited for long is asked about this often, unless replicas that were silent answer again. */
const longestPause: Duration = 30 * second;

interface Waiter {
  readonly keys: KeysToObserve;
  /** What was observed when the registration was looked at. */
  readonly outcome: string;
  /** Monotonic milliseconds. */
  readonly since: number;
  dueAt: number;
}

export interface WaitingOptions {
  readonly observer: PublicationObserver;
  readonly clock: Clock;
  /** Something else is served than when the registration was looked at. */
  readonly changed: (key: ObjectKey) => void;
}

/**
 * Registrations that wait for replicas: to serve a key, or to serve one no longer. The replicas are asked here, again and again, and
 * a registration is looked at only when their answers change. So the API server is not asked at all, however long that takes and
 * however many wait.
 *
 * While a replica is silent no key can be said to be served by all, so only one question a turn is asked: it finds out whether that
 * is still so. When the last one answers again, everything that waits is asked about anew, at a bounded rate.
 */
export class Waiting implements PublicationObserver {
  readonly #options: WaitingOptions;
  /** Whoever was asked about longest ago comes first. */
  readonly #waiters = new Map<ObjectKey, Waiter>();

  constructor(options: WaitingOptions) {
    this.#options = options;
  }

  /** How many registrations wait. */
  get size(): number {
    return this.#waiters.size;
  }

  isSilent(): boolean {
    return this.#options.observer.isSilent();
  }

  /** As the observer has it; if that leaves something to wait for, it is waited for from now on. */
  async observe(namespace: string, registration: string, keys: KeysToObserve): Promise<Observation> {
    const observation = await this.#options.observer.observe(namespace, registration, keys);
    const key: ObjectKey = `${namespace}/${registration}`;
    this.#waiters.delete(key);
    if (leavesToWait(keys, observation)) {
      const now = this.#options.clock.monotonic();
      this.#waiters.set(key, { keys, outcome: outcomeOf(observation), since: now, dueAt: now + turn });
    }
    return observation;
  }

  /** The registration is looked at now, so what it waits for is said anew, or nothing. */
  forget(key: ObjectKey): void {
    this.#waiters.delete(key);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, observer } = this.#options;
    let silent = false;
    while (!signal.aborted) {
      await sleep(clock, turn, signal);
      if (silent && !observer.isSilent()) this.#hurry();
      silent = observer.isSilent();
      await inParallel(this.#due(silent ? 1 : perTurn), atATime, ([key, waiter]) => this.#ask(key, waiter));
    }
    this.#waiters.clear();
  }

  #hurry(): void {
    for (const waiter of this.#waiters.values()) waiter.dueAt = 0;
  }

  #due(most: number): readonly (readonly [ObjectKey, Waiter])[] {
    const now = this.#options.clock.monotonic();
    const due: (readonly [ObjectKey, Waiter])[] = [];
    for (const entry of this.#waiters) {
      if (due.length === most) break;
      if (entry[1].dueAt <= now) due.push(entry);
    }
    return due;
  }

  async #ask(key: ObjectKey, waiter: Waiter): Promise<void> {
    const { observer, clock, changed } = this.#options;
    const { namespace, name } = splitKey(key);
    // Whoever looks at the registration meets the error again, and tells of it.
    const observation = await observer.observe(namespace, name, waiter.keys).catch(() => undefined);
    if (this.#waiters.get(key) !== waiter) return;
    this.#waiters.delete(key);
    if (!observation || outcomeOf(observation) !== waiter.outcome) return changed(key);
    const now = clock.monotonic();
    waiter.dueAt = now + Math.min(longestPause, Math.max(turn, (now - waiter.since) / 4));
    this.#waiters.set(key, waiter);
  }
}

function leavesToWait({ present, absent }: KeysToObserve, { servedKeyIDs, absentKeyIDs }: Observation): boolean {
  return present.some(({ kid }) => !servedKeyIDs.has(kid)) || absent.some(({ kid }) => !absentKeyIDs.has(kid));
}

/** Who does not answer, and how, is told when a registration is looked at for another reason. */
function outcomeOf({ servedKeyIDs, missingKeyIDs, absentKeyIDs }: Observation): string {
  return JSON.stringify([servedKeyIDs, missingKeyIDs, absentKeyIDs].map((keyIDs) => [...keyIDs].toSorted()));
}
