import type { Clock } from '../lib/clock.ts';
import { DelayHeap } from './delay-heap.ts';
import { FairQueue } from './fair-queue.ts';
import type { ObjectKey } from './objects.ts';

/** What goes first: 0 revocations and removals, 1 what was begun, 2 new registrations. */
export type Priority = 0 | 1 | 2;

/** First delay after a failure; it doubles with every further one (client-go's per-item limiter starts the same). */
const firstBackoffMs = 5;

/** No failing key waits longer than this: client-go's 1000 s would leave a healed dependency unnoticed for too long. */
export const maximumBackoffMs = 60_000;

/** What a queue looks like at this moment; read at scrape. */
export interface WorkQueueFigures {
  /** Keys waiting for a worker; delayed ones do not count until they are due. */
  readonly depth: number;
  /** Sum of the seconds that the keys now being worked on have taken so far. */
  readonly unfinishedSeconds: number;
  readonly longestRunningSeconds: number;
}

export interface WorkQueueMetrics {
  /** Called once per queue; a later queue of the same name takes the place of the earlier one. */
  watch(queue: string, figures: () => WorkQueueFigures): void;
  added(queue: string): void;
  retried(queue: string): void;
  /** A key waited this long for a worker. */
  waited(queue: string, seconds: number): void;
  /** A key was worked on for this long. */
  worked(queue: string, seconds: number): void;
}

export interface WorkQueueOptions {
  readonly clock: Clock;
  readonly name: string;
  readonly metrics?: WorkQueueMetrics;
  /** Numbers in [0, 1) that spread retries; tests fix them. */
  readonly random?: () => number;
}

/** A key that needs work. */
interface Wanted {
  readonly since: number;
  priority: Priority;
}

/** A key being worked on. */
interface Processing {
  readonly began: number;
  readonly priority: Priority;
}

/** One turn in this many goes to priority 1 first, and another one to priority 2, so that no priority starves. */
const turnsPerRound = 16;

/**
 * A deduplicating queue of keys with priorities, delayed and rate-limited adds; client-go's `util/workqueue` is the model,
 * and controller-runtime's priority queue for the order.
 *
 *     addAfter ──► delayed                          ┌ 0: revocations, removals ┐
 *                     │ due                         │    bank, college, bank…  │
 *     add ────────────┴──► wanted ──────► waiting ──┤ 1: begun                 ├─get()──► processing ──done()──► gone
 *                            ▲                      │    college, bank, …      │              │
 *                            │                      └ 2: new registrations     ┘              │
 *                            └────────────────── added meanwhile: wanted again ◄──────────────┘
 *
 * A key waits at most once and is never handed to two workers at a time. Within a priority namespaces take turns, and
 * within a namespace who came first goes first. A key that is added again moves up to a higher priority, never down.
 */
export class WorkQueue {
  /** The time in which the delays, and the durations of the work, are measured. */
  readonly clock: Clock;
  readonly #name: string;
  readonly #metrics: WorkQueueMetrics | undefined;
  readonly #random: () => number;

  /** Keys that need work; those also in `#processing` are not in `#waiting` yet. */
  readonly #wanted = new Map<ObjectKey, Wanted>();
  readonly #waiting: Readonly<Record<Priority, FairQueue>> = {
    0: new FairQueue(),
    1: new FairQueue(),
    2: new FairQueue(),
  };
  readonly #processing = new Map<ObjectKey, Processing>();
  readonly #delayed = new DelayHeap();
  /** The one timer, for the earliest of `#delayed`. */
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

  /** Keys waiting for a worker now. */
  get size(): number {
    return this.#waiting[0].size + this.#waiting[1].size + this.#waiting[2].size;
  }

  /** Asks for work on `key`; one that is being worked on comes again when that is done. */
  add(key: ObjectKey, priority: Priority = 1): void {
    if (this.#shutDown) return;
    const wanted = this.#wanted.get(key);
    if (wanted === undefined) {
      this.#metrics?.added(this.#name);
      this.#wanted.set(key, { since: this.clock.monotonic(), priority });
      if (!this.#processing.has(key)) this.#offer(key, priority);
    } else if (priority < wanted.priority) {
      if (!this.#processing.has(key)) {
        this.#waiting[wanted.priority].delete(key);
        this.#waiting[priority].add(key);
      }
      wanted.priority = priority;
    }
  }

  /** Adds `key` after `milliseconds`; of several delayed adds of one key the earliest counts, at the highest priority. */
  addAfter(key: ObjectKey, milliseconds: number, priority: Priority = 1): void {
    if (this.#shutDown) return;
    if (milliseconds <= 0) return this.add(key, priority);
    this.#delayed.put(key, this.clock.monotonic() + milliseconds, priority);
    this.#setTimer();
  }

  /**
   * Adds `key` after a backoff of 5 ms · 2ⁿ for the n-th failure in a row, at most {@link maximumBackoffMs}, of which a
   * random part of up to one half is taken off so that keys that failed together do not come back together. A server
   * that asked for more time (`Retry-After`) gets it in `atLeastMs`, up to the same maximum.
   */
  addRateLimited(key: ObjectKey, atLeastMs = 0, priority: Priority = 1): void {
    if (this.#shutDown) return;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#metrics?.retried(this.#name);
    const backoff = Math.min(firstBackoffMs * 2 ** failures, maximumBackoffMs) * (1 - this.#random() / 2);
    this.addAfter(key, Math.min(Math.max(backoff, atLeastMs), maximumBackoffMs), priority);
  }

  /** Ends the backoff of `key`: its next failure waits 5 ms again. */
  forget(key: ObjectKey): void {
    this.#failures.delete(key);
  }

  /** How often `key` was rate limited since it was last forgotten. */
  failures(key: ObjectKey): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The priority at which `key`, which is being worked on, was taken. */
  priorityOf(key: ObjectKey): Priority | undefined {
    return this.#processing.get(key)?.priority;
  }

  /** The next key, as soon as there is one; `undefined` once the queue is shut down and empty. Follow with `done`. */
  get(): Promise<ObjectKey | undefined> {
    const key = this.#take();
    if (key !== undefined) {
      this.#begin(key);
      return Promise.resolve(key);
    }
    if (this.#shutDown) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#getters.push(resolve));
  }

  /** Says that the work on a key from `get` is over, failed or not. */
  done(key: ObjectKey): void {
    const processing = this.#processing.get(key);
    if (processing === undefined) return;
    this.#processing.delete(key);
    this.#metrics?.worked(this.#name, this.#secondsSince(processing.began));
    const wanted = this.#wanted.get(key);
    if (wanted !== undefined) this.#offer(key, wanted.priority);
  }

  /** Takes no more keys and forgets the delayed ones; what already waits is still handed out. */
  shutDown(): void {
    this.#shutDown = true;
    this.#delayed.clear();
    this.#timer?.cancel();
    for (const resolve of this.#getters.splice(0)) resolve(undefined);
  }

  #setTimer(): void {
    const at = this.#delayed.nextAt;
    if (at === undefined || (this.#timer !== undefined && this.#timer.at <= at)) return;
    this.#timer?.cancel();
    const cancel = this.clock.setTimer(() => {
      this.#timer = undefined;
      const now = this.clock.monotonic();
      for (let due = this.#delayed.takeDue(now); due; due = this.#delayed.takeDue(now)) this.add(due.key, due.priority);
      this.#setTimer();
    }, at - this.clock.monotonic());
    this.#timer = { at, cancel };
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
    if (getter === undefined) {
      this.#waiting[priority].add(key);
      return;
    }
    this.#begin(key);
    getter(key);
  }

  #begin(key: ObjectKey): void {
    const now = this.clock.monotonic();
    const { since, priority } = this.#wanted.get(key) ?? { since: now, priority: 1 };
    this.#metrics?.waited(this.#name, this.#secondsSince(since));
    this.#wanted.delete(key);
    this.#processing.set(key, { began: now, priority });
  }

  #secondsSince(monotonic: number): number {
    return (this.clock.monotonic() - monotonic) / 1000;
  }

  #figures(): WorkQueueFigures {
    const running = [...this.#processing.values()].map(({ began }) => this.#secondsSince(began));
    return {
      depth: this.size,
      unfinishedSeconds: running.reduce((sum, seconds) => sum + seconds, 0),
      longestRunningSeconds: running.reduce((longest, seconds) => Math.max(longest, seconds), 0),
    };
  }
}
