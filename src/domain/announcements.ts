import type { EventReason } from '../api/reasons.ts';
import type { LtiRegistration } from '../api/objects.ts';
import type { Transition } from './transition.ts';

/** What people are told in an event and a log line. */
export interface Announcement {
  readonly type: 'Normal' | 'Warning';
  readonly reason: EventReason;
  readonly message: string;
}

const announced = ['KeyActivated', 'KeyRetired', 'KeyRevoked', 'KeyDiscarded', 'RotationRequested'] as const;

/** Of the steps of a key's life those that people want to be told of; the others show in conditions and metrics. */
export function announcementsOf(transitions: readonly Transition[]): readonly Announcement[] {
  return transitions.flatMap(({ reason, message }) => {
    const told = announced.find((name) => name === reason);
    return told ? [{ type: 'Normal', reason: told, message }] : [];
  });
}

/** Conditions whose changes are told. A new message tells of another key or object only where a person has to act on it. */
const watched = [
  { type: 'Stalled', bad: 'True', byMessage: false },
  { type: 'ActionRequired', bad: 'True', byMessage: true },
  { type: 'Ready', bad: 'False', byMessage: false },
] as const;

/** What changed between two statuses: what is in the way, and that it no longer is. */
export function announcementsBetween(
  before: LtiRegistration['status'],
  after: NonNullable<LtiRegistration['status']>,
): readonly Announcement[] {
  return watched.flatMap(({ type, bad, byMessage }): Announcement[] => {
    const was = before?.conditions?.find((condition) => condition.type === type);
    const is = after.conditions?.find((condition) => condition.type === type);
    if (!is || (was?.status === is.status && was.reason === is.reason && !(byMessage && was.message !== is.message))) {
      return [];
    }
    // That nothing is wrong with a new registration is no news, and that its first key signs was told of the key.
    if (is.status !== bad && was === undefined) return [];
    // What a registration waits for in its first moments is no warning.
    if (type === 'Ready' && is.status === bad && was?.status !== 'True') return [];
    // oxlint-disable-next-line no-unsafe-type-assertion -- conditions are written with reasons of the table alone
    const reason = is.reason as EventReason;
    return [{ type: is.status === bad ? 'Warning' : 'Normal', reason, message: is.message }];
  });
}
