import { type Duration, second } from '../../domain/duration.ts';
import type { Clock } from '../../lib/clock.ts';

/** RFC 9111 §5.2.2.1 and RFC 5861: how long a cache may go on with this answer at the most. */
export function cacheLifetime(cacheControl: string): Duration {
  let seconds = 0;
  for (const [, value] of cacheControl.matchAll(
    /(?:^|[\s,])(?:max-age|stale-while-revalidate|stale-if-error)=(\d{1,9})/g,
  )) {
    seconds += Number(value);
  }
  return seconds * second;
}

interface Announced {
  readonly lifetime: Duration;
  /** Monotonic milliseconds; a cache may have an answer with this lifetime until then. */
  readonly until: number;
}

/**
 * The longest cache lifetime that each origin announced, in whichever document. A shorter one counts only when caches
 * have nothing left with the longer one, and an origin that gives no answer changes nothing: what rests on the lifetime
 * must not come and go with a replica.
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

  /** Of these origins; while none of them has announced anything, what was said before. */
  longest(origins: readonly string[]): Duration {
    const lifetimes = origins.flatMap((origin) => this.#announced.get(origin)?.lifetime ?? []);
    if (lifetimes.length > 0) this.#last = Math.max(...lifetimes);
    return this.#last;
  }

  forget(gone: (origin: string) => boolean): void {
    for (const origin of this.#announced.keys()) if (gone(origin)) this.#announced.delete(origin);
  }
}
