import type { Clock } from './clock.ts';

export interface Job {
  /** Monotonic milliseconds; Infinity if there is nothing to do. It is called again after every job and wake-up. */
  dueAt(): number;
  run(): Promise<void> | void;
}

/** Runs jobs one after the other, each when it is due. */
export class Schedule {
  readonly #clock: Clock;
  #wake = (): void => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs until `signal` aborts. Of several jobs that are due, the first runs. */
  async run(jobs: readonly Job[], signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const now = this.#clock.monotonic();
      const due = jobs.find((job) => job.dueAt() <= now);
      if (due) await due.run();
      else await this.#wait(Math.min(...jobs.map((job) => job.dueAt())) - now, signal);
    }
  }

  /** Ends the wait, because a job may be due earlier now. */
  wake(): void {
    this.#wake();
  }

  #wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (this.#wake = () => {
        cancel();
        signal.removeEventListener('abort', end);
        resolve();
      });
      const cancel = this.#clock.setTimer(end, milliseconds);
      signal.addEventListener('abort', end);
    });
  }
}
