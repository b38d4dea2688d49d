import { type Duration, minute, second } from '../../domain/duration.ts';
import type { ObjectKey } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import type { LedgerRecord } from './ledger-secret.ts';

/** The step after a write, such as the activation of a first key, comes well within this. */
const writtenFor: Duration = 5 * second;
/** A new registration may wait this long for its key pair; afterwards the operator reads again. */
const missingFor: Duration = 10 * minute;

/**
 * Ledgers that this process wrote a moment ago, and those of new registrations, which it found missing: the next step of what
 * is under way needs no further read. Nothing rests on it, because a ledger is created only where there is none and replaced
 * only in the version that was written. A change by somebody else, or a failure, has the ledger forgotten here.
 */
export class RecentLedgers {
  readonly #written: Expiring<LedgerRecord>;
  readonly #missing: Expiring<true>;

  constructor(clock: Clock) {
    this.#written = new Expiring(clock, writtenFor);
    this.#missing = new Expiring(clock, missingFor);
  }

  wrote(registration: ObjectKey, record: LedgerRecord): void {
    this.#missing.delete(registration);
    this.#written.set(registration, record);
  }

  /** There is no ledger, and nothing shows that there was one. */
  foundMissing(registration: ObjectKey): void {
    this.#missing.set(registration, true);
  }

  written(registration: ObjectKey): LedgerRecord | undefined {
    return this.#written.get(registration);
  }

  isMissing(registration: ObjectKey): boolean {
    return this.#missing.get(registration) === true;
  }

  forget(registration: ObjectKey): void {
    this.#written.delete(registration);
    this.#missing.delete(registration);
  }
}

/** Values that are dropped after a time, by registration. */
class Expiring<V> {
  readonly #clock: Clock;
  readonly #lifetime: Duration;
  /** The oldest first. */
  readonly #entries = new Map<ObjectKey, { readonly value: V; readonly until: number }>();

  constructor(clock: Clock, lifetime: Duration) {
    this.#clock = clock;
    this.#lifetime = lifetime;
  }

  set(key: ObjectKey, value: V): void {
    this.#dropOld();
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: this.#clock.monotonic() + this.#lifetime });
  }

  get(key: ObjectKey): V | undefined {
    this.#dropOld();
    return this.#entries.get(key)?.value;
  }

  delete(key: ObjectKey): void {
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
