import { fnv1a } from './checksum.ts';
import { day, type Duration, formatDuration, hour, type Instant, minute, second } from './duration.ts';
import type { LedgerKey } from './ledger.ts';
import type { Registration } from './registration.ts';
import { nextOpening } from './rotation-window.ts';

/** The numbers that keep verifiers and tools safe. Code, status and docs name these functions. */

/** Floors that an operator may lower, as `--minimum-overlap` and `--minimum-activation-delay` do. */
export interface TimingLimits {
  readonly minimumOverlap: Duration;
  /** Unset: derived from the cache lifetime that the served documents announce. */
  readonly minimumActivationDelay?: Duration;
}

/**
 * How long a revoked signing key stays while a replacement is made. It has to be out of the documents within 60 s, also where its
 * LtiKey can only be deleted and publishers give it up after their 30 s.
 */
export const revocationGrace: Duration = 20 * second;

/** A document that lost a key to revocation is cached only briefly for this long. */
export const shortCachePeriod: Duration = day;

/** Keys of one registration that are published at the same time, at most: a ledger stays far under the 1 MiB of a Secret. */
export const mostLiveKeys = 16;

/**
 * How often a registration is looked at even if nothing changed, for Secrets are not watched: as often as ten reads a second
 * for all of them allow, at two reads a look. A hundred registrations are looked at every minute; `longest` is the limit.
 */
export function lookInterval(registrations: number, longest: Duration): Duration {
  return Math.min(longest, Math.max(minute, (registrations * 2 * second) / 10));
}

/** Beyond this difference between local clock and API server nothing that depends on the time happens. */
export const toleratedClockSkew: Duration = 5 * minute;

/** Secret propagation to the tool 2 min, longest JWT of a tool 600 s, clock skew 300 s, rounded up: one hour. */
export const defaultMinimumOverlap: Duration = hour;

/**
 * A key has to be published longer than any verifier may go on with the set it fetched before: the announced cache
 * lifetime (max-age + stale-while-revalidate + stale-if-error) and a minute, and never under 20 minutes, since a
 * widely used Go cache refreshes every 15 minutes whatever max-age says and never on an unknown key ID.
 */
export function minimumActivationDelay(limits: TimingLimits, cacheLifetime: Duration): Duration {
  return limits.minimumActivationDelay ?? Math.max(20 * minute, cacheLifetime + minute);
}

/** How long a key stays published after it stopped signing: `spec.overlap`, and under the floor the floor. */
export function publishedOverlap(registration: Registration, limits: TimingLimits): Duration {
  return Math.max(registration.overlap, limits.minimumOverlap);
}

/** Spreads registrations that were applied together: up to 5 % of the period, and the same at every evaluation. */
export function rotationJitter(registration: Registration, revision: number): Duration {
  const text = `${registration.namespace}/${registration.name}/${revision}`;
  return Math.floor((fnv1a(text) / 2 ** 32) * 0.05 * registration.rotateAfter);
}

/** When the signing key is due to be replaced. */
export function nextRotationTime(active: LedgerKey, registration: Registration): Instant {
  return activatedAt(active) + registration.rotateAfter - rotationJitter(registration, active.revision);
}

/** Time for a new key to be made, served by every replica and observed there, before its activation delay starts. */
export function publicationMargin(registration: Registration): Duration {
  return Math.min(10 * minute, registration.activationDelay / 10);
}

/** When the next revision is made, so that it may sign at `nextRotationTime`. */
export function preparationTime(active: LedgerKey, registration: Registration): Instant {
  const lead = registration.activationDelay + publicationMargin(registration);
  return Math.max(nextRotationTime(active, registration) - lead, activatedAt(active));
}

/**
 * When a published next key may sign in place of `active`: after its delay, if it was scheduled not before its day, and
 * in a window.
 */
export function activationTime(
  next: LedgerKey,
  active: LedgerKey,
  registration: Registration,
  now: Instant,
): Instant | undefined {
  if (next.publishedAt === undefined) return undefined;
  const afterDelay = next.publishedAt + registration.activationDelay;
  // A revocation does not wait for a window.
  if (next.cause === 'Revocation') return afterDelay;
  const due = next.cause === 'Schedule' ? Math.max(afterDelay, nextRotationTime(active, registration)) : afterDelay;
  return permittedTime(registration, due, now);
}

/**
 * When a rotation that is due at `due` may happen: in its windows, and at the deadline even outside of them. Windows that
 * cannot be read or never open leave the others, and the deadline. From `now` on, for an earlier window was missed.
 */
export function permittedTime(registration: Registration, due: Instant, now: Instant): Instant {
  const { rotationWindows = [], rotationWindowDeadline = 0 } = registration;
  if (rotationWindows.length === 0) return due;
  const deadline = due + rotationWindowDeadline;
  const opening = nextOpening(rotationWindows, Math.max(due, now));
  return Math.min(opening ?? deadline, deadline);
}

/** The first safety inequality that the registration breaks, as a sentence that names field, floor and remedy. */
export function timingFault(
  registration: Registration,
  limits: TimingLimits,
  cacheLifetime: Duration,
): { reason: 'ActivationDelayTooShort' | 'OverlapTooShort' | 'RotationTooFrequent'; message: string } | undefined {
  const { rotateAfter, activationDelay, overlap } = registration;
  const delayFloor = minimumActivationDelay(limits, cacheLifetime);
  if (activationDelay < delayFloor) {
    return {
      reason: 'ActivationDelayTooShort',
      message: `spec.activationDelay is ${formatDuration(activationDelay)}; platforms may cache an older key set for longer than that: raise it to at least ${formatDuration(delayFloor)}`,
    };
  }
  if (overlap < limits.minimumOverlap) {
    return {
      reason: 'OverlapTooShort',
      message: `spec.overlap is ${formatDuration(overlap)}; platforms may receive tokens that were signed before a rotation for longer than that: raise it to at least ${formatDuration(limits.minimumOverlap)}`,
    };
  }
  if (rotateAfter <= activationDelay + overlap) {
    return {
      reason: 'RotationTooFrequent',
      message: `spec.rotateAfter is ${formatDuration(rotateAfter)}; raise it above the sum of spec.activationDelay and spec.overlap, ${formatDuration(activationDelay + overlap)}`,
    };
  }
  return undefined;
}

function activatedAt(key: LedgerKey): Instant {
  return key.activatedAt ?? key.createdAt;
}
