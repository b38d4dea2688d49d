/** First and longest step, before jitter; see Backoff.next. */
const firstMs = 800;
const longestMs = 15_000;

/** Delays that double from 0.8 s, each lengthened by up to as much again at random, so never beyond 30 s. */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  get failures(): number {
    return this.#failures;
  }

  next(): number {
    const step = Math.min(longestMs, firstMs * 2 ** this.#failures);
    this.#failures += 1;
    return step * (1 + this.#random());
  }

  reset(): void {
    this.#failures = 0;
  }
}
