import { type Duration, minute, second } from '../../domain/duration.ts';
import type { ObjectKey } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import type { LedgerRecord } from './ledger-secret.ts';

/** The step after a write, such as the activation of a first key, follows well within this time. */
const writtenFor: Duration = 5 * second;
/** A new registration may wait this long for its key pair; then the operator reads again. */
const missingFor: Duration = 10 * minute;

/**
 * Ledgers that this process wrote a moment ago, and new registrations that have none: the next step needs no further read.
 * Correctness does not depend on it, because a ledger is created only if there is none, and replaced only in the version that
 * was written. A change by another client, and a failed pass, delete the entry.
 */
export class LedgerCache {
  readonly #written: Expiring<LedgerRecord>;
  readonly #missing: Expiring<true>;

  constructor(clock: Clock) {
    this.#written = new Expiring(clock, writtenFor);
    this.#missing = new Expiring(clock, missingFor);
  }

  set(registration: ObjectKey, record: LedgerRecord): void {
    this.#missing.delete(registration);
    this.#written.set(registration, record);
  }

  /** Records that there is no ledger, and no trace of one. */
  setMissing(registration: ObjectKey): void {
    this.#missing.set(registration, true);
  }

  get(registration: ObjectKey): LedgerRecord | undefined {
    return this.#written.get(registration);
  }

  isMissing(registration: ObjectKey): boolean {
    return this.#missing.get(registration) === true;
  }

  delete(registration: ObjectKey): void {
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
