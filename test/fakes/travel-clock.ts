import { type Clock, systemClock } from '../../src/lib/clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
  cancel: () => void;
}

/**
 * The system's clock plus an offset that tests increase. Time passes normally between jumps, so that code under test can use
 * real servers; a jump of days takes no time, and fires all timers within it at once, late, as after a suspend.
 */
export class TravelClock implements Clock {
  #offset = 0;
  readonly #timers = new Set<Timer>();

  now(): Date {
    return new Date(Date.now() + this.#offset);
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#offset;
  }

  setTimer(callback: () => void, milliseconds: number): () => void {
    const timer: Timer = { at: this.monotonic() + Math.max(0, milliseconds), callback, cancel: () => undefined };
    this.#timers.add(timer);
    this.#arm(timer);
    return () => this.#drop(timer);
  }

  /** Moves time forward and fires, in order, every timer that is due. */
  jump(milliseconds: number): void {
    this.#offset += milliseconds;
    const due = [...this.#timers].filter(({ at }) => at <= this.monotonic()).toSorted((a, b) => a.at - b.at);
    for (const timer of due) this.#fire(timer);
    for (const timer of this.#timers) {
      timer.cancel();
      this.#arm(timer);
    }
  }

  #arm(timer: Timer): void {
    timer.cancel = systemClock.setTimer(() => this.#fire(timer), timer.at - this.monotonic());
  }

  #drop(timer: Timer): void {
    timer.cancel();
    this.#timers.delete(timer);
  }

  /** A timer that an earlier timer of the same jump cancelled does not fire. */
  #fire(timer: Timer): void {
    if (!this.#timers.has(timer)) return;
    this.#drop(timer);
    timer.callback();
  }
}
