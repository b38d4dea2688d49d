import { narrowPublicJwk } from '../domain/public-jwk.ts';
import type { PublishedKey } from '../documents/key-set.ts';
import { rsaThumbprint } from '../lib/thumbprint.ts';
import { type KeyState, publishedStates } from '../domain/key-state.ts';

/** What the publisher reads of an LtiKey; any other member of the object is out of its sight. */
export interface LtiKeyFacts {
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: {
    readonly registrationRef: { readonly name: string };
    readonly revision: number;
    readonly publicJWK: unknown;
  };
  readonly status?: {
    readonly state?: string;
    readonly createdAt?: string;
    readonly revokedAt?: string;
  };
}

/** How long a published key stays in the documents after its LtiKey went away or lost its state. */
export const absenceGraceMs = 30_000;

/** A key whose LtiKey was published and then disappeared, with the object to ask for before it is given up. */
export interface Departed {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly keyID: string;
  readonly registration: string;
}

interface Held {
  readonly id: string;
  readonly name: string;
  readonly key: PublishedKey;
  /** Monotonic milliseconds since which the LtiKey is missing, or present with its state cleared. */
  absentSince?: number;
  cleared?: boolean;
  /** Whether it could not be asked for when the grace period was over, so that the operator could not have put it back. */
  doubted?: boolean;
}

interface Place {
  readonly namespace: string;
  readonly registration: string;
}

interface Arriving extends Place {
  /** Monotonic milliseconds until which all of it is held back; absent when that is over. */
  until?: number;
}

const states: ReadonlySet<string> = new Set<KeyState>(['Next', 'Active', 'Retiring', 'Retired', 'Revoked']);

function isState(state: string | undefined): state is KeyState {
  return state !== undefined && states.has(state);
}

/** As the schema has it, which may be an older one: the name becomes part of a file name. */
function isRegistrationName(name: unknown): boolean {
  return typeof name === 'string' && name.length <= 63 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(name);
}

/**
 * The Active key gets its status after the others (see controller/apply.ts). One that is newer than it and
 * has none is just being made, and was never published.
 */
function isPartlyShown(objects: readonly LtiKeyFacts[]): boolean {
  const active = objects.find(({ status }) => status?.state === 'Active');
  const newest = active?.spec.revision ?? Number.POSITIVE_INFINITY;
  return objects.some(({ spec, status }) => status === undefined && spec.revision <= newest);
}

/** Whether a change of an LtiKey leaves the documents as they are: one published state gave way to another. */
export function staysPublished({ status: before }: LtiKeyFacts, { status: after }: LtiKeyFacts): boolean {
  return isPublished(before?.state) && isPublished(after?.state) && before?.revokedAt === after?.revokedAt;
}

function isPublished(state: string | undefined): boolean {
  return isState(state) && publishedStates.has(state);
}

/**
 * The keys to publish, from the LtiKeys that exist and those that should.
 *
 * LtiKeys are only the public face of the ledger: one that somebody deletes comes back as soon as the operator sees it,
 * and meanwhile platforms still verify against it. So a key leaves at once only when its LtiKey says so (Retired,
 * Revoked). What looks like a loss is waited out instead:
 * - the LtiKey is gone: kept for the grace period, and then until somebody confirms that the object does not exist (a
 *   deleted CRD or an API error is no such answer). A registration deleted on purpose is published that much longer,
 *   which harms nobody.
 * - the LtiKey is back without a status: kept until the operator fills it in.
 * - the state was cleared: kept for the grace period; whoever cleared it by accident is corrected within it.
 * - a registration of which nothing is published yet has LtiKeys without a status that are not newer than its Active one: the
 *   operator is in the middle of showing a ledger, after a restore for one. All of it is held back until those have their
 *   status, for the grace period at the most: a document never starts with a part of its keys.
 * A key that no ledger lists leaves at once: the operator shows it as Revoked before it deletes the LtiKey.
 * The spec is immutable, so a key's material never changes under its key ID.
 */
export class PublishedKeys {
  /** `namespace/registration` → id → key. */
  readonly #held = new Map<string, Map<string, Held>>();
  readonly #absent = new Set<Held>();
  /** `namespace/registration` → what lacks a status before anything of it was published. */
  readonly #arriving = new Map<string, Arriving>();
  readonly #refused: (object: LtiKeyFacts, fault: string) => void;

  /** `refused` hears of every LtiKey that names no registration, or whose publicJWK is not one we serve. */
  constructor(refused: (object: LtiKeyFacts, fault: string) => void) {
    this.#refused = refused;
  }

  /**
   * Takes in all LtiKeys that the registration has now, and gives its keys, or `undefined` while they are held back. `now` is
   * monotonic milliseconds.
   */
  update(
    namespace: string,
    registration: string,
    objects: readonly LtiKeyFacts[],
    now: number,
  ): readonly PublishedKey[] | undefined {
    const place = placeOf({ namespace, registration });
    if (!this.#held.has(place) && isPartlyShown(objects)) {
      const arriving = this.#arriving.get(place) ?? { namespace, registration, until: now + absenceGraceMs };
      this.#arriving.set(place, arriving);
      if (arriving.until !== undefined) return undefined;
    } else this.#arriving.delete(place);
    const held = this.#held.get(place) ?? new Map<string, Held>();
    const present = new Set<string>();
    for (const object of objects) this.#take(held, object, present, now);
    for (const known of held.values()) {
      if (present.has(known.id)) continue;
      if (publishedStates.has(known.key.state)) this.#miss(known, now, false);
      else this.#drop(held, known);
    }
    if (held.size > 0) this.#held.set(place, held);
    else this.#held.delete(place);
    return [...held.values()].map(({ key }) => key);
  }

  #take(held: Map<string, Held>, object: LtiKeyFacts, present: Set<string>, now: number): void {
    const { metadata, spec, status } = object;
    if (!isRegistrationName(spec.registrationRef.name)) return this.#refused(object, 'registrationRef.name is no name');
    const publicJWK = narrowPublicJwk(spec.publicJWK);
    if (typeof publicJWK === 'string') return this.#refused(object, publicJWK);
    const id = `${metadata.name}/${publicJWK.kid}`;
    present.add(id);
    const known = held.get(id);
    if (isState(status?.state)) {
      if (known) this.#absent.delete(known);
      const key = {
        namespace: metadata.namespace ?? '',
        registration: spec.registrationRef.name,
        revision: spec.revision,
        state: status.state,
        publicJWK,
        ...(publicJWK.kid !== rsaThumbprint(publicJWK) && {
          foreignKeyID: true,
          ...(status.createdAt !== undefined && { createdAt: status.createdAt }),
        }),
        ...(status.revokedAt !== undefined && { revokedAt: status.revokedAt }),
      };
      held.set(id, { id, name: metadata.name, key });
      return;
    }
    if (known === undefined) return;
    if (status !== undefined) return this.#miss(known, now, true);
    delete known.absentSince;
    known.cleared = false;
    this.#absent.delete(known);
  }

  #miss(known: Held, now: number, cleared: boolean): void {
    if (known.absentSince === undefined) Object.assign(known, { absentSince: now, doubted: false });
    known.cleared = cleared;
    this.#absent.add(known);
  }

  #drop(held: Map<string, Held>, known: Held): void {
    held.delete(known.id);
    this.#absent.delete(known);
  }

  /** When the next grace period ends, in monotonic milliseconds. */
  nextExpiry(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { absentSince = next } of this.#absent) next = Math.min(next, absentSince + absenceGraceMs);
    return next;
  }

  /** When the next registration has been held back for the whole grace period, in monotonic milliseconds. */
  nextOverdue(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { until = next } of this.#arriving.values()) next = Math.min(next, until);
    return next;
  }

  /** The registrations that were held back for the whole grace period, and no longer are. */
  overdue(now: number): readonly Place[] {
    const overdue = [...this.#arriving.values()].filter(({ until }) => until !== undefined && until <= now);
    for (const arriving of overdue) delete arriving.until;
    return overdue;
  }

  /** The keys whose grace period is over; those with a cleared state need no confirmation. */
  expired(now: number): readonly (Departed & { readonly cleared: boolean; readonly doubted: boolean })[] {
    return [...this.#absent]
      .filter(({ absentSince = now }) => absentSince + absenceGraceMs <= now)
      .map(({ id, name, key: { namespace, registration, publicJWK }, cleared = false, doubted = false }) => ({
        id,
        name,
        keyID: publicJWK.kid,
        namespace,
        registration,
        cleared,
        doubted,
      }));
  }

  /** Gives a key up, unless its LtiKey came back meanwhile. */
  forget(departed: Departed): void {
    const held = this.#absentOne(departed);
    if (held) this.#drop(this.#held.get(placeOf(departed)) ?? new Map<string, Held>(), held);
  }

  /** Starts the grace period again at `from`; `doubted` where there was no answer. */
  keep(departed: Departed, from: number, doubted: boolean): void {
    const held = this.#absentOne(departed);
    if (held) Object.assign(held, { absentSince: from, doubted });
  }

  #absentOne(departed: Departed): Held | undefined {
    const held = this.#held.get(placeOf(departed))?.get(departed.id);
    return held?.absentSince === undefined ? undefined : held;
  }
}

function placeOf({ namespace, registration }: Place): string {
  return `${namespace}/${registration}`;
}
