import { type Duration, second } from '../domain/duration.ts';
import { type Clock, sleep } from './clock.ts';

export interface Rate {
  /** Requests per second, on average. */
  readonly qps: number;
  readonly burst: number;
}

/**
 * The token bucket of client-go's `flowcontrol`. It limits the effect of a defect, such as a tight retry loop, on the API
 * server; ordinary work stays below it. Requests are first come, first served, and the workers send few at a time, so that
 * an urgent request (of a revocation) waits behind some dozens, not behind a backlog.
 */
export class RateLimiter {
  readonly #clock: Clock;
  /** Between two requests, on average. */
  readonly #interval: Duration;
  /** How far requests may be ahead of the average. */
  readonly #credit: Duration;
  /** When the last admitted request would have been sent without a burst. */
  #paced = -Infinity;

  constructor({ qps, burst }: Rate, clock: Clock) {
    this.#clock = clock;
    this.#interval = second / qps;
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
