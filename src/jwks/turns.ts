import { setImmediate } from 'node:timers/promises';

/** Milliseconds of work after which requests get their turn. */
const turnMs = 5;

/** Long work in pieces, between which requests are answered. It counts real time: that is what requests wait for. */
export class Turns {
  #until = 0;

  /** To be awaited between two pieces of work. */
  next(): Promise<void> | undefined {
    return performance.now() < this.#until ? undefined : this.#give();
  }

  /** Does the work of `steps`, each short, and gives its result. */
  async through<T>(steps: Generator<undefined, T>): Promise<T> {
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      if (performance.now() >= this.#until) await this.#give();
    }
  }

  async #give(): Promise<void> {
    await setImmediate();
    this.#until = performance.now() + turnMs;
  }
}
