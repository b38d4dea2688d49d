import { Cron } from 'croner';
import { type Duration, type Instant, day, formatDuration, hour, minute, second } from './duration.ts';
import { fnv1a } from './fnv1a.ts';
import type { LedgerKey } from './ledger.ts';
import type { Registration } from './registration.ts';
import type { Lifecycle } from './situation.ts';

/** The safety inequalities, and when rotations happen. Code, status and docs name these functions. */

/** Minimums that `--minimum-overlap` and `--minimum-activation-delay` configure. */
export interface TimingLimits {
  readonly minimumOverlap: Duration;
  /** If unset, it is derived from the cache lifetime that the served documents announce. */
  readonly minimumActivationDelay?: Duration;
}

/**
 * How long a revoked signing key stays published while a replacement is made. It must be out of the documents within 60 s, even
 * if its LtiKey can only be deleted, in which case publishers drop it after 30 s.
 */
export const revocationGrace: Duration = 20 * second;

/** How long a document that lost a key to a revocation announces a short cache lifetime. */
export const shortCachePeriod: Duration = day;

/** The maximum number of published keys of a registration: it keeps a ledger far below the 1 MiB limit of a Secret. */
export const maximumLiveKeys = 16;

/**
 * The time until a registration is reconciled even if nothing changed, because Secrets are not watched. All registrations together may
 * take ten reads per second, at two reads each; up to 300 registrations are reconciled every minute.
 */
export function resyncInterval(registrations: number, maximum: Duration): Duration {
  return Math.min(maximum, Math.max(minute, (registrations * 2 * second) / 10));
}

/**
 * The time until the next resync of a registration, at most `interval`. Each registration has its own place in the interval, and
 * keeps it, so the resyncs stay evenly spread although a new leader begins by reconciling all registrations at once.
 */
export function untilResync(namespace: string, name: string, interval: Duration, now: Instant): Duration {
  // The name is first, because FNV-1a spreads texts poorly that differ only in their last characters.
  const place = Math.floor((fnv1a(`${name}/${namespace}`) / 2 ** 32) * interval);
  return interval - ((now + interval - place) % interval);
}

/** How soon a write that the API server refused is retried. */
export const retryPoll: Duration = 20 * second;

/** How soon a step that is due but blocked, for example by a damaged ledger, is checked again. */
export const blockedPoll: Duration = 30 * second;

/** If the local clock and the API server differ by more than this, no key is activated or retired. Revocations proceed. */
export const toleratedClockSkew: Duration = 5 * minute;

/** Secret propagation to the tool 2 min, longest JWT of a tool 600 s, clock skew 300 s, rounded up: one hour. */
export const defaultMinimumOverlap: Duration = hour;

/**
 * A key must be published for longer than any verifier may use a key set that it fetched before: the announced cache lifetime
 * (max-age + stale-while-revalidate + stale-if-error) plus one minute, and at least 20 minutes, because a widely used Go cache
 * refreshes every 15 minutes regardless of max-age, and never because of an unknown key ID.
 */
export function minimumActivationDelay(limits: TimingLimits, cacheLifetime: Duration): Duration {
  return limits.minimumActivationDelay ?? Math.max(20 * minute, cacheLifetime + minute);
}

/** How long a key stays published after it stopped signing: `spec.overlap`, but at least the minimum. */
export function publishedOverlap(registration: Registration, limits: TimingLimits): Duration {
  return Math.max(registration.overlap, limits.minimumOverlap);
}

/** Spreads the rotations of registrations that were applied together: up to 5 % of the period, the same in every evaluation. */
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
 * When a published next key may replace `active`: after its activation delay, in a window, and for a scheduled rotation not
 * before `nextRotationTime`.
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
 * When a rotation that is due at `due` may happen: in a window, or at the deadline. Windows that are invalid or never open are
 * ignored, and so are windows before `now`: they were missed.
 */
export function permittedTime(registration: Registration, due: Instant, now: Instant): Instant {
  const { rotationWindows, rotationWindowDeadline } = registration;
  if (rotationWindows.length === 0) return due;
  const deadline = due + rotationWindowDeadline;
  const opening = nextOpening(rotationWindows, Math.max(due, now));
  return Math.min(opening ?? deadline, deadline);
}

/** The first safety inequality that the registration violates. The message has the field, its minimum and the remedy. */
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

/** Whether the spec blocks every rotation of the registration, whatever its cause. */
export function isRotationHeld({ registration, limits, observation }: Lifecycle): boolean {
  return registration.suspend || timingFault(registration, limits, observation.cacheLifetime) !== undefined;
}

function activatedAt(key: LedgerKey): Instant {
  return key.activatedAt ?? key.createdAt;
}

/** A recurring period in which rotations may happen. */
export interface RotationWindow {
  /** When it opens: a cron expression of five fields with the syntax of a CronJob, and also `6#1` and `6L`. */
  readonly schedule: string;
  /** How long it stays open. */
  readonly duration: Duration;
  /** IANA name. */
  readonly timeZone: string;
}

/** The earliest time, not before `from`, at which a window is open; `undefined` if none ever opens. Invalid windows are ignored. */
export function nextOpening(windows: readonly RotationWindow[], from: Instant): Instant | undefined {
  const openings = windows.map((window) => openingOf(window, from)).filter((opening) => typeof opening === 'number');
  return openings.length === 0 ? undefined : Math.min(...openings);
}

/** The first window that is invalid or never opens. The message has the field and the remedy. */
export function windowFault(
  windows: readonly RotationWindow[],
  now: Instant,
): { reason: 'RotationWindowInvalid' | 'RotationWindowNeverOpens'; message: string } | undefined {
  for (const [index, window] of windows.entries()) {
    const opening = openingOf(window, now);
    if (typeof opening === 'number') continue;
    const field = `spec.rotationWindows[${index}]`;
    const rest = windows.length > 1 ? 'only the other windows apply' : 'a rotation waits until its deadline';
    if (opening === 'never') {
      const message = `${field}: the schedule "${window.schedule}" never opens, so ${rest}. Correct or remove the entry`;
      return { reason: 'RotationWindowNeverOpens', message };
    }
    const message = `${field}: "${window.schedule}" in time zone "${window.timeZone}" is not valid, so ${rest}. Use five cron fields, such as 0 2 * * 6, and an IANA time zone, such as Europe/Berlin`;
    return { reason: 'RotationWindowInvalid', message };
  }
  return undefined;
}

function openingOf({ schedule, duration, timeZone }: RotationWindow, from: Instant): Instant | 'never' | 'unreadable' {
  try {
    const options = { mode: '5-part', timezone: timeZone, paused: true, sloppyRanges: true } as const;
    const cron = new Cron(toCronerSchedule(schedule), options);
    // If a window is open at `from`, it opened less than its duration before.
    const opened = cron.nextRun(new Date(from - duration))?.getTime();
    return opened === undefined ? 'never' : Math.max(opened, from);
  } catch {
    return 'unreadable';
  }
}

/**
 * In a CronJob, a day field with `*`, `?` or a step of one in it is no restriction, so that the other day field alone decides.
 * Croner does the same only for a plain `*` or `?`. With two restrictions, both match a day that fits either.
 */
function toCronerSchedule(schedule: string): string {
  const unrestricted = (field: string): boolean => field.split(',').some((part) => /^[*?](?:\/0*1)?$/.test(part));
  return schedule
    .split(' ')
    .map((field, index) => ((index === 2 || index === 4) && unrestricted(field) ? '*' : field))
    .join(' ');
}
