import { type Duration, minute, second } from '../../domain/duration.ts';
import type { ObjectKey } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import { Expiring } from '../expiring.ts';
import type { LedgerRecord } from './ledger-secret.ts';

/** The step after a write, such as the activation of a first key, follows within this time, also while many registrations wait. */
const writtenFor: Duration = 15 * second;
/** A new registration may wait this long for its key pair; then the operator reads again. */
const missingFor: Duration = 10 * minute;

/**
 * Ledgers that this process wrote a moment ago, and new registrations that have none: the next step needs no further read.
 * Correctness does not depend on it, because a ledger is created only if there is none, and replaced only in the version that
 * was written. A change by another client, and a failed pass, delete the entry.
 */
export class LedgerCache {
  readonly #written: Expiring<ObjectKey, LedgerRecord>;
  readonly #missing: Expiring<ObjectKey, true>;

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
