import { type Duration, second } from '../domain/duration.ts';
import type { Clock } from '../lib/clock.ts';
import { FairQueue } from '../lib/fair-queue.ts';
import type { ObjectKey } from './objects.ts';

/** 0: revocations and removals, 1: registrations with keys, 2: new registrations. */
export type Priority = 0 | 1 | 2;

/** First delay after a failure; it doubles with every further failure (client-go's per-item limiter starts with the same). */
const firstBackoff: Duration = 5;

/** client-go's maximum of 1000 s would leave a recovered dependency unnoticed for too long. */
export const maximumBackoff: Duration = 60 * second;

/** The state of a queue at a scrape. */
export interface WorkQueueFigures {
  /** Keys that wait for a worker. Delayed keys do not count before they are due. */
  readonly depth: number;
  /** Sum of the seconds since work on each key in progress began. */
  readonly unfinishedSeconds: number;
  readonly longestRunningSeconds: number;
}

export interface WorkQueueMetrics {
  /** Called once per queue; a later queue of the same name replaces the earlier one. */
  watch(queue: string, figures: () => WorkQueueFigures): void;
  added(queue: string): void;
  retried(queue: string): void;
  /** How long a key waited for a worker. */
  waited(queue: string, seconds: number): void;
  /** How long the work on a key took. */
  worked(queue: string, seconds: number): void;
}

export interface WorkQueueOptions {
  readonly clock: Clock;
  readonly name: string;
  readonly metrics?: WorkQueueMetrics;
  /** Jitter of retries, in [0, 1). */
  readonly random?: () => number;
}

/** A key and a monotonic time: since when it has needed work, since when a worker has had it, or when it is due. */
interface Timed {
  readonly at: number;
  readonly priority: Priority;
}

/** One turn in this many serves priority 1 first, and another one priority 2, so that no priority starves. */
const turnsPerRound = 16;

/**
 * A deduplicating queue of keys with priorities, delayed and rate-limited adds, modelled on client-go's `util/workqueue`;
 * the priorities are modelled on controller-runtime's priority queue.
 *
 *     addAfter ──► delayed                          ┌ 0: revocations, removals ┐
 *                     │ due                         │    bank, college, bank…  │
 *     add ────────────┴──► wanted ──────► waiting ──┤ 1: with keys             ├─get()──► processing ──done()──► gone
 *                            ▲                      │    college, bank, …      │              │
 *                            │                      └ 2: new registrations     ┘              │
 *                            └──────────────── added meanwhile: wanted again ◄────────────────┘
 *
 * A key waits at most once, and no two workers process it at the same time. Within a priority, namespaces take turns, and
 * each namespace is first in, first out. Adding a key again can raise its priority, never lower it.
 */
export class WorkQueue {
  readonly clock: Clock;
  readonly #name: string;
  readonly #metrics: WorkQueueMetrics | undefined;
  readonly #random: () => number;

  /** Keys that need work; a key that is also in `#processing` is not in `#waiting` yet. */
  readonly #wanted = new Map<ObjectKey, Timed>();
  /** By priority. */
  readonly #waiting = [new FairQueue(), new FairQueue(), new FairQueue()] as const;
  readonly #processing = new Map<ObjectKey, Timed>();
  readonly #delayed = new Map<ObjectKey, Timed>();
  /** The only timer, for the earliest of `#delayed`: a timer for each key would take more memory. */
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;
  readonly #failures = new Map<ObjectKey, number>();
  readonly #getters: ((key: ObjectKey | undefined) => void)[] = [];
  #turn = 0;
  #shutDown = false;

  constructor(options: WorkQueueOptions) {
    this.clock = options.clock;
    this.#name = options.name;
    this.#metrics = options.metrics;
    this.#random = options.random ?? Math.random;
    this.#metrics?.watch(this.#name, () => this.#figures());
  }

  /** Keys that wait for a worker. */
  get size(): number {
    return this.#waiting.reduce((sum, { size }) => sum + size, 0);
  }

  /** Queues `key`. If it is being processed, it is queued when that is done. */
  add(key: ObjectKey, priority: Priority = 1): void {
    if (this.#shutDown) return;
    const wanted = this.#wanted.get(key);
    if (wanted === undefined) {
      this.#metrics?.added(this.#name);
      this.#wanted.set(key, { at: this.clock.monotonic(), priority });
      if (!this.#processing.has(key)) this.#offer(key, priority);
    } else if (priority < wanted.priority) {
      this.#wanted.set(key, { ...wanted, priority });
      if (this.#waiting[wanted.priority].delete(key)) this.#waiting[priority].add(key);
    }
  }

  /** Adds `key` after a delay. The earliest of several delayed adds of a key counts, with their highest priority. */
  addAfter(key: ObjectKey, delay: Duration, priority: Priority = 1): void {
    if (this.#shutDown) return;
    if (delay <= 0) return this.add(key, priority);
    const at = this.clock.monotonic() + delay;
    const known = this.#delayed.get(key) ?? { at, priority };
    const highest = priority < known.priority ? priority : known.priority;
    this.#delayed.set(key, { at: Math.min(at, known.at), priority: highest });
    this.#wakeAt(at);
  }

  /**
   * Adds `key` after a backoff of 5 ms · 2ⁿ for the n-th failure in a row, at most {@link maximumBackoff}; up to half of it
   * is subtracted at random, so that keys that failed together do not return together. `atLeast` (a server's `Retry-After`)
   * lengthens it, up to the same maximum. A key in progress keeps its priority by default. Returns the number of failures.
   */
  addRateLimited(
    key: ObjectKey,
    atLeast: Duration = 0,
    priority: Priority = this.#processing.get(key)?.priority ?? 1,
  ): number {
    const failures = this.#failures.get(key) ?? 0;
    if (this.#shutDown) return failures;
    this.#failures.set(key, failures + 1);
    this.#metrics?.retried(this.#name);
    const backoff = Math.min(firstBackoff * 2 ** failures, maximumBackoff) * (1 - this.#random() / 2);
    this.addAfter(key, Math.min(Math.max(backoff, atLeast), maximumBackoff), priority);
    return failures + 1;
  }

  /** Resets the backoff of `key`. */
  forget(key: ObjectKey): void {
    this.#failures.delete(key);
  }

  /** Resolves with the next key, or with `undefined` once the queue is shut down and empty. Call `done` afterwards. */
  get(): Promise<ObjectKey | undefined> {
    const key = this.#take();
    if (key !== undefined) return Promise.resolve(this.#begin(key));
    if (this.#shutDown) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#getters.push(resolve));
  }

  /** Ends the processing of a key from `get`, whether it failed or not. */
  done(key: ObjectKey): void {
    const processing = this.#processing.get(key);
    if (processing === undefined) return;
    this.#processing.delete(key);
    this.#metrics?.worked(this.#name, this.#secondsSince(processing.at));
    const wanted = this.#wanted.get(key);
    if (wanted !== undefined) this.#offer(key, wanted.priority);
  }

  /** Drops delayed keys and accepts no more keys; `get` still returns those that wait. */
  shutDown(): void {
    this.#shutDown = true;
    this.#delayed.clear();
    this.#timer?.cancel();
    for (const resolve of this.#getters.splice(0)) resolve(undefined);
  }

  #wakeAt(at: number): void {
    if (this.#timer !== undefined && this.#timer.at <= at) return;
    this.#timer?.cancel();
    this.#timer = { at, cancel: this.clock.setTimer(() => this.#addDue(), at - this.clock.monotonic()) };
  }

  /** Examines every delayed key, which takes about 0.1 ms for 10,000 keys. */
  #addDue(): void {
    this.#timer = undefined;
    const now = this.clock.monotonic();
    let next = Infinity;
    for (const [key, { at, priority }] of this.#delayed) {
      if (at <= now) {
        this.#delayed.delete(key);
        this.add(key, priority);
      } else if (at < next) next = at;
    }
    if (next !== Infinity) this.#wakeAt(next);
  }

  #take(): ObjectKey | undefined {
    const turn = this.#turn;
    this.#turn = (turn + 1) % turnsPerRound;
    const first = turn === turnsPerRound - 1 ? 2 : turn === turnsPerRound / 2 - 1 ? 1 : 0;
    for (const priority of [first, 0, 1, 2] as const) {
      const key = this.#waiting[priority].take();
      if (key !== undefined) return key;
    }
    return undefined;
  }

  #offer(key: ObjectKey, priority: Priority): void {
    const getter = this.#getters.shift();
    if (getter === undefined) this.#waiting[priority].add(key);
    else getter(this.#begin(key));
  }

  /** Records that a worker has `key`, and returns it. */
  #begin(key: ObjectKey): ObjectKey {
    const { at, priority } = this.#wanted.get(key)!;
    this.#metrics?.waited(this.#name, this.#secondsSince(at));
    this.#wanted.delete(key);
    this.#processing.set(key, { at: this.clock.monotonic(), priority });
    return key;
  }

  #secondsSince(monotonic: number): number {
    return (this.clock.monotonic() - monotonic) / second;
  }

  #figures(): WorkQueueFigures {
    const running = [...this.#processing.values()].map(({ at }) => this.#secondsSince(at));
    return {
      depth: this.size,
      unfinishedSeconds: running.reduce((sum, seconds) => sum + seconds, 0),
      longestRunningSeconds: Math.max(0, ...running),
    };
  }
}
