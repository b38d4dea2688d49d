import type { Clock } from '../lib/clock.ts';

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

/**
 * A deduplicating first-in-first-out queue of keys with delayed and rate-limited adds; client-go's
 * `util/workqueue` is the model.
 *
 *     add ──► dirty ──► waiting ──get()──► processing ──done()──► gone
 *                                              └── added meanwhile: waiting again
 *
 * A key waits at most once and is never handed to two workers at a time.
 */
export class WorkQueue {
  /** The time in which the delays, and the durations of the work, are measured. */
  readonly clock: Clock;
  readonly #name: string;
  readonly #metrics: WorkQueueMetrics | undefined;
  readonly #random: () => number;

  /** Keys that need work, with the time they were added; those also in `#processing` are not in `#waiting` yet. */
  readonly #dirty = new Map<string, number>();
  readonly #waiting: string[] = [];
  /** Keys being worked on, with the time their work began. */
  readonly #processing = new Map<string, number>();
  readonly #delayed = new Map<string, { readonly at: number; readonly cancel: () => void }>();
  readonly #failures = new Map<string, number>();
  readonly #getters: ((key: string | undefined) => void)[] = [];
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
    return this.#waiting.length;
  }

  /** Asks for work on `key`; one that is being worked on comes again when that is done. */
  add(key: string): void {
    if (this.#shutDown || this.#dirty.has(key)) return;
    this.#metrics?.added(this.#name);
    this.#dirty.set(key, this.clock.monotonic());
    if (!this.#processing.has(key)) this.#offer(key);
  }

  /** Adds `key` after `milliseconds`; of several delayed adds of one key the earliest counts. */
  addAfter(key: string, milliseconds: number): void {
    if (this.#shutDown) return;
    if (milliseconds <= 0) return this.add(key);
    const at = this.clock.monotonic() + milliseconds;
    const pending = this.#delayed.get(key);
    if (pending !== undefined && pending.at <= at) return;
    pending?.cancel();
    const cancel = this.clock.setTimer(() => {
      this.#delayed.delete(key);
      this.add(key);
    }, milliseconds);
    this.#delayed.set(key, { at, cancel });
  }

  /**
   * Adds `key` after a backoff of 5 ms · 2ⁿ for the n-th failure in a row, at most {@link maximumBackoffMs}, of which a
   * random part of up to one half is taken off so that keys that failed together do not come back together. A server
   * that asked for more time (`Retry-After`) gets it in `atLeastMs`, up to the same maximum.
   */
  addRateLimited(key: string, atLeastMs = 0): void {
    if (this.#shutDown) return;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#metrics?.retried(this.#name);
    const backoff = Math.min(firstBackoffMs * 2 ** failures, maximumBackoffMs) * (1 - this.#random() / 2);
    this.addAfter(key, Math.min(Math.max(backoff, atLeastMs), maximumBackoffMs));
  }

  /** Ends the backoff of `key`: its next failure waits 5 ms again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** How often `key` was rate limited since it was last forgotten. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, as soon as there is one; `undefined` once the queue is shut down and empty. Follow with `done`. */
  get(): Promise<string | undefined> {
    const key = this.#waiting.shift();
    if (key !== undefined) {
      this.#begin(key);
      return Promise.resolve(key);
    }
    if (this.#shutDown) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#getters.push(resolve));
  }

  /** Says that the work on a key from `get` is over, failed or not. */
  done(key: string): void {
    const began = this.#processing.get(key);
    if (began === undefined) return;
    this.#processing.delete(key);
    this.#metrics?.worked(this.#name, this.#secondsSince(began));
    if (this.#dirty.has(key)) this.#offer(key);
  }

  /** Takes no more keys and cancels the delayed ones; what already waits is still handed out. */
  shutDown(): void {
    this.#shutDown = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    for (const resolve of this.#getters.splice(0)) resolve(undefined);
  }

  #offer(key: string): void {
    const getter = this.#getters.shift();
    if (getter === undefined) {
      this.#waiting.push(key);
      return;
    }
    this.#begin(key);
    getter(key);
  }

  #begin(key: string): void {
    const added = this.#dirty.get(key);
    if (added !== undefined) this.#metrics?.waited(this.#name, this.#secondsSince(added));
    this.#dirty.delete(key);
    this.#processing.set(key, this.clock.monotonic());
  }

  #secondsSince(monotonic: number): number {
    return (this.clock.monotonic() - monotonic) / 1000;
  }

  #figures(): WorkQueueFigures {
    const running = [...this.#processing.values()].map((began) => this.#secondsSince(began));
    return {
      depth: this.#waiting.length,
      unfinishedSeconds: running.reduce((sum, seconds) => sum + seconds, 0),
      longestRunningSeconds: running.reduce((longest, seconds) => Math.max(longest, seconds), 0),
    };
  }
}
