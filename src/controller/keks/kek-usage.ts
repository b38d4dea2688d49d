import { type Duration, second } from '../../domain/duration.ts';
import type { ObjectKey } from '../../kube/objects.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Logger } from '../../observability/log.ts';

const interval: Duration = 5 * second;
/** KEK IDs that are reported besides those with a canary: whoever can write a ledger Secret can put any name into it. */
const mostReported = 100;

export interface KekUsageOptions {
  /** Every registration that a cache knows, also those of which only LtiKeys are left; undefined while one may be missing. */
  readonly known: () => Iterable<ObjectKey> | undefined;
  readonly isKnown: (registration: ObjectKey) => boolean;
  /** Undefined while it is not known which KEK seals. */
  readonly sealingKeyID: () => string | undefined;
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

/** What a ledger said when it was read. One object for all of which the same is known. */
interface Reading {
  /** One entry per sealed key. */
  readonly kekIDs: readonly string[];
  /** Which KEK sealed at the time, as a number that rises. */
  readonly epoch: number;
  /** Nothing has kept the ledger from being read since. */
  readonly current: boolean;
  ledgers: number;
}

/** What those who read ledgers say of them. */
export type LedgerUsage = Pick<KekUsage, 'read' | 'unreadable' | 'forget'>;

/**
 * How many private keys are sealed under each key-encryption key, as the ledgers say that this leader has read. Whoever
 * removes a KEK that others need loses their keys, so 0 is only said after every ledger was read since the KEK stopped
 * sealing: a pass that was under way may have sealed with it after it had read its ledger.
 */
export class KekUsage {
  readonly #options: KekUsageOptions;
  #term: AbortSignal | undefined;
  #epoch = 0;
  #sealing: string | undefined;
  readonly #ledgers = new Map<ObjectKey, Reading>();
  readonly #readings = new Map<string, Reading>();
  /** KEK IDs that were in use in this term; true once the log has said that they are not. */
  readonly #seen = new Map<string, boolean>();

  constructor(options: KekUsageOptions) {
    this.#options = options;
  }

  /** For one term of leadership, which begins with nothing read. */
  async run(clock: Clock, term: AbortSignal): Promise<void> {
    this.#begin(term);
    while (!term.aborted) {
      this.#tell();
      await sleep(clock, interval, term);
    }
  }

  /**
   * The ledger was read: the KEK that each of its sealed keys names, also of those that do not open. Undefined, where one
   * does not say, is as good as unreadable.
   */
  read(registration: ObjectKey, kekIDs: readonly string[] | undefined): void {
    if (kekIDs) this.#note(registration, kekIDs, true);
    else this.unreadable(registration);
  }

  /** The ledger is faulty, gone although keys were made, or could not be read: what was known of it stays. */
  unreadable(registration: ObjectKey): void {
    this.#note(registration, this.#ledgers.get(registration)?.kekIDs ?? [], false);
  }

  /** The API server says that there is no ledger, and none is missing. */
  forget(registration: ObjectKey): void {
    if (this.#options.isKnown(registration)) this.read(registration, []);
    else this.#release(registration);
  }

  /** Undefined where this process does not lead: only the leader reads ledgers. */
  report(): UsageReport | undefined {
    if (!this.#leads()) return undefined;
    this.#follow();
    const complete = this.#isComplete();
    const all = this.#count();
    const reported = new Set([...this.#seen.keys(), ...this.#options.canaryIDs()]);
    const counts = [...reported].flatMap((kekID): [string, number][] => {
      const count = all.get(kekID) ?? 0;
      return count > 0 || (complete && kekID !== this.#sealing) ? [[kekID, count]] : [];
    });
    return { complete, counts: new Map(counts) };
  }

  #begin(term: AbortSignal): void {
    this.#term = term;
    this.#sealing = undefined;
    for (const known of [this.#ledgers, this.#readings, this.#seen]) known.clear();
  }

  #leads(): boolean {
    return this.#term !== undefined && !this.#term.aborted;
  }

  #note(registration: ObjectKey, kekIDs: readonly string[], current: boolean): void {
    if (!this.#leads()) return;
    this.#follow();
    this.#release(registration);
    const sorted = kekIDs.toSorted();
    const name = JSON.stringify([this.#epoch, current, sorted]);
    const reading = this.#readings.get(name) ?? { kekIDs: sorted, epoch: this.#epoch, current, ledgers: 0 };
    reading.ledgers += 1;
    this.#readings.set(name, reading);
    this.#ledgers.set(registration, reading);
    for (const kekID of kekIDs) {
      if (this.#seen.has(kekID) || this.#seen.size < mostReported) this.#seen.set(kekID, false);
    }
  }

  #release(registration: ObjectKey): void {
    const reading = this.#ledgers.get(registration);
    if (!reading) return;
    this.#ledgers.delete(registration);
    reading.ledgers -= 1;
    if (reading.ledgers > 0) return;
    this.#readings.delete(JSON.stringify([reading.epoch, reading.current, reading.kekIDs]));
  }

  #follow(): void {
    const sealing = this.#options.sealingKeyID();
    if (sealing === undefined || sealing === this.#sealing) return;
    this.#sealing = sealing;
    this.#epoch += 1;
  }

  #isComplete(): boolean {
    if (this.#sealing === undefined) return false;
    for (const { epoch, current } of this.#readings.values()) if (epoch !== this.#epoch || !current) return false;
    const known = this.#options.known();
    if (!known) return false;
    let some = false;
    for (const registration of known) {
      if (!this.#ledgers.has(registration)) return false;
      some = true;
    }
    // No registration at all is what a list looks like after its CRD was installed anew.
    return some;
  }

  #count(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { kekIDs, ledgers } of this.#readings.values()) {
      for (const kekID of kekIDs) counts.set(kekID, (counts.get(kekID) ?? 0) + ledgers);
    }
    return counts;
  }

  #tell(): void {
    const counted = this.#count();
    const unused = [...this.#seen].filter(([kekID, told]) => !told && !counted.has(kekID));
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
