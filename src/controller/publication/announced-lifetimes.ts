import type { Duration } from '../../domain/duration.ts';
import type { Clock } from '../../lib/clock.ts';

interface Announced {
  readonly lifetime: Duration;
  /** Monotonic milliseconds; a cache may serve a response with this lifetime until then. */
  readonly until: number;
}

/**
 * The longest cache lifetime that each origin announced in any document. A shorter one replaces it only after the longer one has
 * expired in every cache, also if it comes from another origin, because a changed `--max-age` replaces the replicas. An origin that
 * does not respond changes nothing: the computed lifetime must not vary with the availability of a replica.
 */
export class AnnouncedLifetimes {
  readonly #clock: Clock;
  readonly #announced = new Map<string, Announced>();
  #last: Duration = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  announce(origin: string, lifetime: Duration): void {
    const now = this.#clock.monotonic();
    const known = this.#announced.get(origin);
    if (known && known.lifetime > lifetime && now < known.until) return;
    this.#announced.set(origin, { lifetime, until: now + lifetime });
  }

  /**
   * The longest lifetime of these origins, and of former ones whose responses caches may still serve; the previous result if none of
   * them has announced one.
   */
  longest(origins: readonly string[]): Duration {
    const now = this.#clock.monotonic();
    for (const [origin, { until }] of this.#announced)
      if (until <= now && !origins.includes(origin)) this.#announced.delete(origin);
    if (this.#announced.size > 0)
      this.#last = Math.max(...[...this.#announced.values()].map(({ lifetime }) => lifetime));
    return this.#last;
  }
}
