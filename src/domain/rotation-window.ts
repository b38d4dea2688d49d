import { Cron } from 'croner';
import type { Duration, Instant } from './duration.ts';

/** A recurring time in which rotations may happen. */
export interface RotationWindow {
  /** When it opens: a cron expression of five fields, read as a CronJob reads it; besides, `6#1` and `6L`. */
  readonly schedule: string;
  /** How long it stays open. */
  readonly duration: Duration;
  /** IANA name. */
  readonly timeZone: string;
}

/**
 * The earliest time from `from` on at which one of the windows is open; `undefined` if none ever opens again. A window that
 * cannot be read never opens, and keeps no other one shut.
 */
export function nextOpening(windows: readonly RotationWindow[], from: Instant): Instant | undefined {
  const openings = windows.map((window) => openingOf(window, from)).filter((opening) => typeof opening === 'number');
  return openings.length === 0 ? undefined : Math.min(...openings);
}

/** Which window can never be followed and why, as a sentence that names the field and the remedy. */
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
    const cron = new Cron(asCronJobReads(schedule), options);
    // The window that `from` lies in, if any, opened less than its duration ago.
    const opened = cron.nextRun(new Date(from - duration))?.getTime();
    return opened === undefined ? 'never' : Math.max(opened, from);
  } catch {
    return 'unreadable';
  }
}

/**
 * A CronJob takes a day field that has `*`, `?` or a step of one in it for no restriction, so that the other day field
 * decides alone. Croner does so for a lone `*` or `?`, and like a CronJob takes a day that fits either of two restrictions.
 */
function asCronJobReads(schedule: string): string {
  const unrestricted = (field: string): boolean => field.split(',').some((part) => /^[*?](?:\/0*1)?$/.test(part));
  return schedule
    .split(' ')
    .map((field, index) => ((index === 2 || index === 4) && unrestricted(field) ? '*' : field))
    .join(' ');
}
