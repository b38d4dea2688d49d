import { expect } from 'chai';
import { day, hour, minute } from '../../../src/domain/duration.ts';
import { readRegistration } from '../../../src/domain/registration.ts';
import { type RotationWindow, nextOpening, permittedTime, windowFault } from '../../../src/domain/timing.ts';

const at = (text: string): number => Date.parse(text);
const saturdays: RotationWindow = { schedule: '0 2 * * 6', duration: 4 * hour, timeZone: 'Europe/Berlin' };
const never: RotationWindow = { schedule: '0 0 30 2 *', duration: hour, timeZone: 'UTC' };

function registration(rotationWindows: readonly RotationWindow[], rotationWindowDeadline: number) {
  const metadata = { name: 'canvas', namespace: 'gradebook' };
  const spec = { issuer: 'https://canvas.example.org' };
  return { ...readRegistration({ metadata, spec } as never), rotationWindows, rotationWindowDeadline };
}

function opensOn(schedule: string, count: number): string[] {
  const openings: number[] = [];
  let from = at('2026-11-23T12:00:00Z');
  while (openings.length < count) {
    const opening = nextOpening([{ schedule, duration: minute, timeZone: 'UTC' }], from)!;
    openings.push(opening);
    from = opening + hour;
  }
  return openings.map((opening) => new Date(opening).toISOString());
}

describe('A rotation window', () => {
  for (const [what, from, opening] of [
    ['before a window, at its opening in its own time zone', '2026-11-23T12:00:00Z', '2026-11-28T01:00:00Z'],
    ['at the opening itself, at once', '2026-11-28T01:00:00Z', '2026-11-28T01:00:00Z'],
    ['inside a window, at once', '2026-11-28T03:30:00Z', '2026-11-28T03:30:00Z'],
    ['in its last minute, at once', '2026-11-28T04:59:00Z', '2026-11-28T04:59:00Z'],
    ['when it has closed, a week later', '2026-11-28T05:00:00Z', '2026-12-05T01:00:00Z'],
    ['in summer, an hour earlier', '2027-06-25T12:00:00Z', '2027-06-26T00:00:00Z'],
  ] as const) {
    it(`A rotation window opens ${what}`, () => {
      expect(nextOpening([saturdays], at(from))).to.equal(at(opening));
    });
  }

  it('A rotation window opens before another one that opens later', () => {
    const daily: RotationWindow = { schedule: '30 22 * * *', duration: minute, timeZone: 'UTC' };
    expect(nextOpening([saturdays, daily], at('2026-11-23T12:00:00Z'))).to.equal(at('2026-11-23T22:30:00Z'));
  });

  it('A rotation window delays a rotation, but not past the deadline', () => {
    const due = at('2026-11-23T12:00:00Z');
    const patient = registration([saturdays], 7 * day);
    expect(permittedTime(patient, due, due)).to.equal(at('2026-11-28T01:00:00Z'));
    expect(permittedTime(registration([saturdays], 2 * day), due, due)).to.equal(due + 2 * day);
    // After a missed window the next one applies, and the deadline does not change.
    expect(permittedTime(patient, due, at('2026-11-28T06:00:00Z'))).to.equal(due + 7 * day);
  });

  it('A rotation window that does not exist delays no rotation', () => {
    expect(permittedTime(registration([], 7 * day), 5, 10)).to.equal(5);
  });

  for (const [window, reason, hint] of [
    [never, 'RotationWindowNeverOpens', 'never opens'],
    [{ ...saturdays, schedule: '0 2 * * 9' }, 'RotationWindowInvalid', 'five cron fields'],
    [{ ...saturdays, schedule: '0 0 2 * * 6' }, 'RotationWindowInvalid', 'five cron fields'],
    [{ ...saturdays, timeZone: 'Mars/Olympus' }, 'RotationWindowInvalid', 'IANA time zone'],
  ] as const) {
    it(`"${window.schedule}" in ${window.timeZone} is reported as ${reason}, and the other windows and the deadline apply`, () => {
      const now = at('2026-11-23T12:00:00Z');
      const fault = windowFault([saturdays, window], now);
      expect(fault?.reason).to.equal(reason);
      expect(fault?.message).to.include('spec.rotationWindows[1]').and.include(hint);
      expect(permittedTime(registration([window], day), now, now)).to.equal(now + day);
      expect(permittedTime(registration([window, saturdays], 7 * day), now, now)).to.equal(at('2026-11-28T01:00:00Z'));
    });
  }

  // The first five times after 23 November 2026 from github.com/robfig/cron v3.0.1, the parser of CronJobs.
  for (const [schedule, ...openings] of [
    ['0 2 * * 6', '11-28', '12-05', '12-12', '12-19', '12-26'],
    ['0 2 ? * sat', '11-28', '12-05', '12-12', '12-19', '12-26'],
    ['0 2 1 * 6', '11-28', '12-01', '12-05', '12-12', '12-19'],
    ['0 2 */2 * 6', '11-25', '11-27', '11-28', '11-29', '12-01'],
    ['0 2 */7 * 6', '11-28', '11-29', '12-01', '12-05', '12-08'],
    ['0 2 1-7 * 6', '11-28', '12-01', '12-02', '12-03', '12-04'],
    ['0 2 1-7 * */6', '11-28', '11-29', '12-01', '12-02', '12-03'],
    ['0 2 1-7 * */7', '11-29', '12-01', '12-02', '12-03', '12-04'],
    ['0 2 1-7 * ?', '12-01', '12-02', '12-03', '12-04', '12-05'],
    ['0 2 1-7 * */1', '12-01', '12-02', '12-03', '12-04', '12-05'],
    ['0 2 */1 * 6', '11-28', '12-05', '12-12', '12-19', '12-26'],
    ['0 2 *,1 * 6', '11-28', '12-05', '12-12', '12-19', '12-26'],
    ['0 2 1-31 * 6', '11-24', '11-25', '11-26', '11-27', '11-28'],
    ['0 2 1 * 0-6', '11-24', '11-25', '11-26', '11-27', '11-28'],
    ['0 2 * * 1-5/2', '11-25', '11-27', '11-30', '12-02', '12-04'],
    ['0 2 5/10 DEC *', '12-05', '12-15', '12-25'],
  ] as const) {
    it(`"${schedule}" opens when a CronJob would run: on ${openings.join(', ')}`, () => {
      expect(opensOn(schedule, openings.length)).to.deep.equal(openings.map((date) => `2026-${date}T02:00:00.000Z`));
    });
  }

  it('"6#1" opens on the first and "6L" on the last Saturday of a month, for which a CronJob has no syntax', () => {
    const dates = (schedule: string): string[] => opensOn(schedule, 3).map((time) => time.slice(0, 10));
    expect(dates('0 2 * * 6#1')).to.deep.equal(['2026-12-05', '2027-01-02', '2027-02-06']);
    expect(dates('0 2 * * 6L')).to.deep.equal(['2026-11-28', '2026-12-26', '2027-01-30']);
  });

  it('A rotation window that opens has no fault', () => {
    expect(windowFault([saturdays], at('2026-11-23T12:00:00Z'))).to.equal(undefined);
  });
});
