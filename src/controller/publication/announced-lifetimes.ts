import type { Duration } from '../../domain/duration.ts';
import type { Clock } from '../../lib/clock.ts';

interface Announced {
  readonly lifetime: Duration;
  /** Monotonic milliseconds; a cache may serve a response with this lifetime until then. */
  readonly until: number;
}

/**
 * The longest cache lifetime that each origin announced in any document. A shorter one replaces it only after the longer one has
 * expired in every cache. An origin that does not respond changes nothing: the computed lifetime must not vary with the
 * availability of a replica.
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

  /** The longest lifetime of these origins; the previous result if none of them has announced one. */
  longest(origins: readonly string[]): Duration {
    const lifetimes = origins.flatMap((origin) => this.#announced.get(origin)?.lifetime ?? []);
    if (lifetimes.length > 0) this.#last = Math.max(...lifetimes);
    return this.#last;
  }

  remove(isGone: (origin: string) => boolean): void {
    for (const origin of this.#announced.keys()) if (isGone(origin)) this.#announced.delete(origin);
  }
}
