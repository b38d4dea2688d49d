import type { Clock } from './clock.ts';

/** A pause that can be ended early. One waits at a time. */
export class Alarm {
  readonly #clock: Clock;
  #end = (): void => undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves after this time, at `ring`, and when `signal` aborts. */
  wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted || milliseconds <= 0) return resolve();
      const end = (this.#end = () => {
        cancel();
        signal.removeEventListener('abort', end);
        resolve();
      });
      const cancel = this.#clock.setTimer(end, milliseconds);
      signal.addEventListener('abort', end);
    });
  }

  ring(): void {
    this.#end();
  }
}
