import { setImmediate } from 'node:timers/promises';

import type { Clock } from '../../src/lib/clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** A clock that stands still until the test moves it. */
export class FakeClock implements Clock {
  #wall: number;
  #elapsed = 0;
  readonly #timers = new Set<Timer>();

  constructor(start = '2026-01-01T00:00:00.000Z') {
    this.#wall = Date.parse(start);
  }

  now(): Date {
    return new Date(this.#wall);
  }

  monotonic(): number {
    return this.#elapsed;
  }

  setTimer(callback: () => void, milliseconds: number): () => void {
    const timer = { at: this.#elapsed + Math.max(0, milliseconds), callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** How many timers wait: zero once everything that was started has been stopped. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /**
   * Moves both clocks forward and fires what falls due, in order, letting promises settle after each timer, so that
   * timers set meanwhile fire too if they fall within the same stretch.
   */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#elapsed + milliseconds;
    await settle();
    for (let next = this.#nextTimer(end); next !== undefined; next = this.#nextTimer(end)) {
      this.#move(next.at);
      this.#timers.delete(next);
      next.callback();
      await settle();
    }
    this.#move(end);
  }

  /** Steps the wall clock alone, as an administrator or NTP does; the monotonic clock does not move. */
  setWallClock(time: string): void {
    this.#wall = Date.parse(time);
  }

  #move(to: number): void {
    this.#wall += to - this.#elapsed;
    this.#elapsed = to;
  }

  #nextTimer(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer;
    }
    return next;
  }
}

/** Lets every promise that can settle without time or input/output do so. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    await setImmediate();
  }
}
