import { publishedStates } from '../domain/key-state.ts';
import { HeldBack } from './held-back.ts';
import {
  absenceGraceMs,
  type LtiKeyFacts,
  registrationKey,
  publicHalf,
  type PublishedKey,
  publishedKey,
  type RegistrationRef,
} from './published-key.ts';

interface Known {
  /** The name of the LtiKey and its key ID. */
  readonly id: string;
  readonly name: string;
  readonly key: PublishedKey;
  /** Monotonic milliseconds since which the LtiKey is missing, or present with its state cleared. */
  absentSince?: number;
  cleared?: boolean;
  /** The API server did not answer at the end of the grace period, so the operator could not recreate the LtiKey either. */
  unconfirmed?: boolean;
}

/** A key whose LtiKey was published and then disappeared or lost its state. */
export type AbsentKey = Readonly<Known>;

/**
 * The keys to publish, from the LtiKeys that exist and those that should exist.
 *
 * LtiKeys only show the ledger: the operator recreates a deleted one as soon as it sees the deletion, and meanwhile platforms still
 * verify with the key. So a key leaves the documents at once only if its LtiKey says so (Retired, Revoked). The publisher waits if a
 * key only seems to be lost:
 * - The LtiKey is gone: the key stays for the grace period, and then until the API server confirms that the object does not exist (a
 *   deleted CRD or an API error does not confirm it). The keys of a registration that a user deleted stay that much longer, which does no
 *   harm.
 * - The LtiKey is back without a status: the key stays until the operator writes the status.
 * - The state was cleared: the key stays for the grace period, in which the operator corrects an accident.
 * - Nothing of a registration is published yet, and its ledger is only partly shown: see HeldBack.
 * A key that no ledger lists leaves at once: the operator shows it as Revoked before it deletes the LtiKey.
 * The spec is immutable, so the material of a key ID never changes.
 */
export class PublishedKeys {
  readonly heldBack = new HeldBack();
  /** `namespace/registration` → id → key. */
  readonly #known = new Map<string, Map<string, Known>>();
  readonly #absent = new Set<Known>();
  readonly #refused: (object: LtiKeyFacts, fault: string) => void;

  /** `refused` is called for every LtiKey without a valid registration name or publicJWK. */
  constructor(refused: (object: LtiKeyFacts, fault: string) => void) {
    this.#refused = refused;
  }

  /**
   * Takes all LtiKeys that the registration has now, and returns its keys, or `undefined` while they are held back. `now` is
   * monotonic milliseconds.
   */
  update(ref: RegistrationRef, objects: readonly LtiKeyFacts[], now: number): readonly PublishedKey[] | undefined {
    const place = registrationKey(ref);
    if (this.#known.has(place)) this.heldBack.release(ref);
    else if (this.heldBack.holds(ref, objects, now)) return undefined;
    const keys = this.#known.get(place) ?? new Map<string, Known>();
    const present = new Set<string>();
    for (const object of objects) this.#take(keys, object, present, now);
    for (const known of keys.values()) {
      if (present.has(known.id)) continue;
      if (publishedStates.has(known.key.state)) this.#miss(known, now, false);
      else this.#drop(keys, known);
    }
    if (keys.size > 0) this.#known.set(place, keys);
    else this.#known.delete(place);
    return [...keys.values()].map(({ key }) => key);
  }

  #take(keys: Map<string, Known>, object: LtiKeyFacts, present: Set<string>, now: number): void {
    const publicJWK = publicHalf(object);
    if (typeof publicJWK === 'string') return this.#refused(object, publicJWK);
    const { name } = object.metadata;
    const id = `${name}/${publicJWK.kid}`;
    present.add(id);
    const known = keys.get(id);
    const key = publishedKey(object, publicJWK);
    if (key !== undefined) {
      if (known) this.#absent.delete(known);
      keys.set(id, { id, name, key });
    } else if (known !== undefined) {
      if (object.status !== undefined) return this.#miss(known, now, true);
      delete known.absentSince;
      known.cleared = false;
      this.#absent.delete(known);
    }
  }

  #miss(known: Known, now: number, cleared: boolean): void {
    if (known.absentSince === undefined) Object.assign(known, { absentSince: now, unconfirmed: false });
    known.cleared = cleared;
    this.#absent.add(known);
  }

  #drop(keys: Map<string, Known>, known: Known): void {
    keys.delete(known.id);
    this.#absent.delete(known);
  }

  /** When the next grace period ends, in monotonic milliseconds. */
  nextExpiry(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { absentSince = next } of this.#absent) next = Math.min(next, absentSince + absenceGraceMs);
    return next;
  }

  /** The keys whose grace period is over. */
  expired(now: number): readonly AbsentKey[] {
    return [...this.#absent].filter(({ absentSince = now }) => absentSince + absenceGraceMs <= now);
  }

  /** Drops the key, unless its LtiKey came back in the meantime. */
  forget(absent: AbsentKey): void {
    const keys = this.#known.get(registrationKey(absent.key));
    if (this.#absent.has(absent) && keys) this.#drop(keys, absent);
  }

  /** Restarts the grace period at `from`, unless the LtiKey came back in the meantime. */
  keep(absent: AbsentKey, from: number, unconfirmed: boolean): void {
    if (this.#absent.has(absent)) Object.assign(absent, { absentSince: from, unconfirmed });
  }
}
