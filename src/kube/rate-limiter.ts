import { type Clock, sleep } from '../lib/clock.ts';

/** Requests per second in the long run, and at once after a rest. */
export interface Rate {
  readonly qps: number;
  readonly burst: number;
}

/**
 * client-go's `flowcontrol` token bucket. It bounds what a defect, such as a loop that retries at once, can do to the API
 * server, and is no pace for ordinary work. Requests are let through in the order in which they came, and there are never more
 * of them than the workers ask for: an urgent one, a revocation's say, waits behind some dozens, not behind a backlog.
 */
export class RateLimiter {
  readonly #clock: Clock;
  /** Milliseconds between two requests in the long run, and how far requests may be ahead of that. */
  readonly #interval: number;
  readonly #credit: number;
  /** When the last request that was let through would have come without a burst. */
  #paced = -Infinity;

  constructor({ qps, burst }: Rate, clock: Clock) {
    this.#clock = clock;
    this.#interval = 1000 / qps;
    this.#credit = burst * this.#interval;
  }

  /** Resolves when the next request may be sent, or when `signal` aborts. */
  async admit(signal?: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    this.#paced = Math.max(this.#paced, now) + this.#interval;
    const wait = this.#paced - this.#credit - now;
    if (wait > 0) await sleep(this.#clock, wait, signal);
  }
}
