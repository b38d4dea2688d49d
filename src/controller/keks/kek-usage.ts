import { type Duration, second } from '../../domain/duration.ts';
import type { ObjectKey } from '../../kube/objects.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Logger } from '../../observability/log.ts';

const interval: Duration = 5 * second;
/** The number of KEK IDs reported besides those with a canary, because a ledger Secret may contain any name. */
const mostReported = 100;

export interface KekUsageOptions {
  /** Every registration in the caches, including those that have only LtiKeys left; undefined while one may be missing. */
  readonly known: () => Iterable<ObjectKey> | undefined;
  /** Undefined before the first check of the KEKs, and while nothing can be sealed. */
  readonly sealingKekID: () => string | undefined;
  /** KEK IDs that were ever used. */
  readonly canaryIDs: () => readonly string[];
  readonly log: Logger;
}

export interface UsageReport {
  /** Every ledger was read since the sealing KEK last changed. */
  readonly complete: boolean;
  /** Private keys sealed under each KEK, by the ledgers that were read; 0 only if `complete`, never for the KEK that seals. */
  readonly counts: ReadonlyMap<string, number>;
}

/** What a ledger contained when it was last read. */
interface Reading {
  /** One entry per sealed key. */
  readonly kekIDs: readonly string[];
  /** The number of changes of the sealing KEK before it was read. */
  readonly epoch: number;
  /** No later attempt to read it failed. */
  readonly current: boolean;
}

/** What gather reports about the ledgers it reads. */
export type LedgerUsage = Pick<KekUsage, 'read' | 'unreadable' | 'forget'>;

/**
 * Counts the private keys sealed under each key-encryption key in the ledgers that this leader has read. A user who removes a
 * KEK that is in use loses keys, so 0 is reported only after every ledger was read since the KEK stopped sealing: a pass in
 * flight may have sealed with it after it had read its ledger.
 */
export class KekUsage {
  readonly #options: KekUsageOptions;
  #term: AbortSignal | undefined;
  #epoch = 0;
  #sealing: string | undefined;
  readonly #ledgers = new Map<ObjectKey, Reading>();
  /** KEK IDs that were in use in this term; true once the log has reported that they no longer are. */
  readonly #seen = new Map<string, boolean>();

  constructor(options: KekUsageOptions) {
    this.#options = options;
  }

  /** Runs for one term of leadership, which begins with nothing read. */
  async run(clock: Clock, term: AbortSignal): Promise<void> {
    this.#term = term;
    this.#sealing = undefined;
    this.#ledgers.clear();
    this.#seen.clear();
    while (!term.aborted) {
      this.#logUnused();
      await sleep(clock, interval, term);
    }
  }

  /** Records the KEK of each sealed key of a ledger, readable or not; undefined, if one names none, counts as unreadable. */
  read(registration: ObjectKey, kekIDs: readonly string[] | undefined): void {
    if (kekIDs) this.#record(registration, kekIDs, true);
    else this.unreadable(registration);
  }

  /** The ledger is faulty, lost, or cannot be read: its last reading stays. */
  unreadable(registration: ObjectKey): void {
    this.#record(registration, this.#ledgers.get(registration)?.kekIDs ?? [], false);
  }

  /** Nothing of the registration exists. */
  forget(registration: ObjectKey): void {
    this.#ledgers.delete(registration);
  }

  /** Undefined if this process does not lead: only the leader reads ledgers. */
  report(): UsageReport | undefined {
    if (!this.#isLeader()) return undefined;
    this.#followSealingKey();
    const complete = this.#isComplete();
    const all = this.#count();
    const reported = new Set([...this.#seen.keys(), ...this.#options.canaryIDs()]);
    const counts = [...reported].flatMap((kekID): [string, number][] => {
      const count = all.get(kekID) ?? 0;
      return count > 0 || (complete && kekID !== this.#sealing) ? [[kekID, count]] : [];
    });
    return { complete, counts: new Map(counts) };
  }

  #isLeader(): boolean {
    return this.#term !== undefined && !this.#term.aborted;
  }

  #record(registration: ObjectKey, kekIDs: readonly string[], current: boolean): void {
    if (!this.#isLeader()) return;
    this.#followSealingKey();
    this.#ledgers.set(registration, { kekIDs, epoch: this.#epoch, current });
    for (const kekID of kekIDs) {
      if (this.#seen.has(kekID) || this.#seen.size < mostReported) this.#seen.set(kekID, false);
    }
  }

  #followSealingKey(): void {
    const sealing = this.#options.sealingKekID();
    if (sealing === undefined || sealing === this.#sealing) return;
    this.#sealing = sealing;
    this.#epoch += 1;
  }

  #isComplete(): boolean {
    if (this.#sealing === undefined) return false;
    for (const { epoch, current } of this.#ledgers.values()) if (epoch !== this.#epoch || !current) return false;
    // After its CRD was installed again, the list of registrations is empty at first.
    const known = [...(this.#options.known() ?? [])];
    return known.length > 0 && known.every((registration) => this.#ledgers.has(registration));
  }

  #count(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { kekIDs } of this.#ledgers.values()) {
      for (const kekID of kekIDs) counts.set(kekID, (counts.get(kekID) ?? 0) + 1);
    }
    return counts;
  }

  #logUnused(): void {
    const counted = this.#count();
    const unused = [...this.#seen].filter(([kekID, logged]) => !logged && !counted.has(kekID));
    // A report enumerates all registrations.
    if (unused.length === 0) return;
    const { complete, counts } = this.report()!;
    if (!complete) return;
    for (const [kekID] of unused) {
      if (counts.get(kekID) !== 0) continue;
      this.#seen.set(kekID, true);
      this.#options.log.info(
        { kekID },
        'no ledger that was read has a private key sealed under this key-encryption key',
      );
    }
  }
}
