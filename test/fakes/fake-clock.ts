import { setImmediate } from 'node:timers/promises';

import type { Clock } from '../../src/lib/clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** A clock that only `advance` moves. */
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

  /** The number of timers that are set; zero if the code under test has left none. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /**
   * Moves both clocks forward and fires the timers that are due, in order. Promises settle after each timer, so that a timer
   * set meanwhile fires, too, if it is due by then.
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

  /** Sets the wall clock alone, as an administrator or NTP does; the monotonic clock does not change. */
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

/** Waits until all promises have settled that need neither time nor input/output. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    await setImmediate();
  }
}
