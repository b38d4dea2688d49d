/**
 * client-go's spam filter: an object may cause 25 events at once and one more every five minutes after that, so that
 * a failing object cannot fill etcd.
 */
const burst = 25;
const refillMs = 300_000;
/** Objects remembered at a time; forgetting one only gives it a full burst again. */
const maximumObjects = 4096;

/** A token bucket per object. */
export class EventFilter {
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /** Whether `object` (any unique name of it) may cause an event at `now`, a monotonic time in milliseconds. */
  allows(object: string, now: number): boolean {
    const bucket = this.#buckets.get(object) ?? { tokens: burst, at: now };
    const refilled = Math.min(burst, bucket.tokens + (now - bucket.at) / refillMs);
    const allowed = refilled >= 1;
    this.#buckets.delete(object);
    this.#buckets.set(object, { tokens: allowed ? refilled - 1 : refilled, at: now });
    if (this.#buckets.size > maximumObjects) this.#forgetOldest();
    return allowed;
  }

  #forgetOldest(): void {
    for (const object of this.#buckets.keys()) {
      this.#buckets.delete(object);
      return;
    }
  }
}
