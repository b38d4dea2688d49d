import { absenceGraceMs, type LtiKeyFacts, registrationKey, type RegistrationRef } from './published-key.ts';

/**
 * Registrations that have no published key yet and whose ledger is only partly shown, as after a restore. They are held back until
 * the other LtiKeys have their status, for the grace period at most, so that a document never starts with a part of its keys.
 */
export class HeldBack {
  /** `until` is in monotonic milliseconds, and absent once the grace period is over. */
  readonly #registrations = new Map<string, RegistrationRef & { until?: number }>();

  /** Whether this registration, with all its LtiKeys, is to be held back now. */
  holds(registration: RegistrationRef, objects: readonly LtiKeyFacts[], now: number): boolean {
    if (!isPartlyShown(objects)) {
      this.release(registration);
      return false;
    }
    const place = registrationKey(registration);
    const held = this.#registrations.get(place) ?? { ...registration, until: now + absenceGraceMs };
    this.#registrations.set(place, held);
    return held.until !== undefined;
  }

  release(registration: RegistrationRef): void {
    this.#registrations.delete(registrationKey(registration));
  }

  /** When the next grace period ends, in monotonic milliseconds. */
  nextExpiry(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { until = next } of this.#registrations.values()) next = Math.min(next, until);
    return next;
  }

  /** The registrations whose grace period is over. Each is returned once, and no longer held back. */
  expired(now: number): readonly RegistrationRef[] {
    const expired = [...this.#registrations.values()].filter(({ until }) => until !== undefined && until <= now);
    for (const held of expired) delete held.until;
    return expired;
  }
}

/**
 * The Active key gets its status after the others (see domain/ltikeys.ts). A key that is newer than the Active one and has no status
 * was just created, and was never published.
 */
function isPartlyShown(objects: readonly LtiKeyFacts[]): boolean {
  const active = objects.find(({ status }) => status?.state === 'Active');
  const newest = active?.spec.revision ?? Number.POSITIVE_INFINITY;
  return objects.some(({ spec, status }) => status === undefined && spec.revision <= newest);
}
