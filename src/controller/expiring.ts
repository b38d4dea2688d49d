import type { Duration } from '../domain/duration.ts';
import type { Clock } from '../lib/clock.ts';

/** A map whose entries are dropped some time after they were set. */
export class Expiring<K, V> {
  readonly #clock: Clock;
  readonly #lifetime: Duration;
  /** The oldest first. */
  readonly #entries = new Map<K, { readonly value: V; readonly until: number }>();

  constructor(clock: Clock, lifetime: Duration) {
    this.#clock = clock;
    this.#lifetime = lifetime;
  }

  set(key: K, value: V): void {
    this.#dropOld();
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: this.#clock.monotonic() + this.#lifetime });
  }

  get(key: K): V | undefined {
    this.#dropOld();
    return this.#entries.get(key)?.value;
  }

  delete(key: K): void {
    this.#entries.delete(key);
  }

  #dropOld(): void {
    const now = this.#clock.monotonic();
    for (const [key, { until }] of this.#entries) {
      if (until > now) return;
      this.#entries.delete(key);
    }
  }
}
