import { expect } from 'chai';
import type { LtiRegistration } from '../../src/api/objects.ts';
import { day, hour, type Instant, minute, second } from '../../src/domain/duration.ts';
import { startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

type Spec = LtiRegistration['spec'];
type Window = NonNullable<Spec['rotationWindows']>[number];

describe('Rotation windows', () => {
  let tenant: Tenant;
  let operator: Operator;

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('windows');
    operator = await startOperator({ namespaces: [tenant.namespace] });
  });

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const now = (): Instant => operator.clock.now().getTime();
  const travelTo = (time: Instant): Promise<void> => operator.travel(time - now());
  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');
  const untilPublished = (name: string): Promise<void> =>
    eventually(async () => expect((await tenant.key(name)).status?.publishedAt).to.be.a('string'));
  const status = async (): Promise<NonNullable<LtiRegistration['status']>> =>
    (await tenant.registration('canvas')).status!;
  const untilRotatesAt = (time: Instant): Promise<void> =>
    eventually(async () => {
      const { nextRotationTime = '', nextKey } = await status();
      expect(new Date(nextRotationTime).toISOString()).to.equal(new Date(time).toISOString());
      if (nextKey) expect(nextKey.activateAfter).to.equal(nextRotationTime);
    });
  /** When the waiting key could sign if there were no windows. */
  const delayOver = async (name: string): Promise<Instant> =>
    Date.parse((await tenant.key(name)).status?.publishedAt ?? '') + 24 * hour;

  /** The full hour before `time`. */
  const hourOf = (time: Instant): Instant => Math.floor(time / hour) * hour;
  /** Opens for two hours at `opening`, a full hour, and every week then. */
  function weekly(opening: Instant): Window {
    const date = new Date(opening);
    return { schedule: `0 ${date.getUTCHours()} * * ${date.getUTCDay()}`, duration: '2h', timeZone: 'UTC' };
  }

  /** canvas-1 Active, canvas-2 Next and published, on the way because of a changed trigger. */
  async function requestRotation(spec: Partial<Spec>): Promise<void> {
    await tenant.apply('canvas', { rotationTrigger: 'a', ...spec });
    await inStep();
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await untilPublished('canvas-2');
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
  }

  it('A requested rotation waits until a window opens, and the status reports so', async () => {
    const opening = hourOf(now()) + 4 * day;
    await requestRotation({ rotationWindows: [weekly(opening)] });
    await untilRotatesAt(opening);
    await travelTo(opening - minute);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    await inStep();
    await travelTo(opening + second);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await inStep();
  });

  it('A scheduled rotation waits until a window opens in its own time zone', async () => {
    await tenant.apply('canvas');
    await inStep();
    const due = Date.parse((await status()).nextRotationTime ?? '');
    const opening = hourOf(due) + 5 * hour;
    const inTokyo = (new Date(opening).getUTCHours() + 9) % 24;
    const daily: Window = { schedule: `0 ${inTokyo} * * *`, duration: '1h', timeZone: 'Asia/Tokyo' };
    await tenant.edit('canvas', { rotationWindows: [daily] });
    await untilRotatesAt(opening);

    await travelTo(due - 24 * hour - 9 * minute);
    await untilPublished('canvas-2');
    await untilRotatesAt(opening);
    await travelTo(due + hour);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    await travelTo(opening + second);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await inStep();
  });

  it('A rotation that becomes due inside a window happens at once', async () => {
    const daily: Window = { ...weekly(hourOf(now())), duration: '4h' };
    const schedule = daily.schedule.replace(/\d$/, '*');
    await requestRotation({ rotationWindows: [{ ...daily, schedule }] });
    const due = await delayOver('canvas-2');
    await untilRotatesAt(due);
    await travelTo(due - minute);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    await travelTo(due + second);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
  });

  it('A rotation happens at the deadline if no window opens before', async () => {
    const windows = [weekly(hourOf(now()) + 6 * day)];
    await requestRotation({ rotationWindows: windows, rotationWindowDeadline: '2d' });
    const deadline = (await delayOver('canvas-2')) + 2 * day;
    await untilRotatesAt(deadline);
    await travelTo(deadline - minute);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    await travelTo(deadline + second);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await inStep();
  });

  it('A missed window is not made up for before the deadline', async () => {
    const opening = hourOf(now()) + 4 * day;
    await requestRotation({ rotationWindows: [weekly(opening)] });
    const deadline = (await delayOver('canvas-2')) + 7 * day;
    await travelTo(opening + 3 * hour);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    await untilRotatesAt(deadline);
    await travelTo(deadline + second);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
  });

  it('Removing the windows releases a waiting rotation', async () => {
    await requestRotation({ rotationWindows: [weekly(hourOf(now()) + 4 * day)] });
    await operator.travel(25 * hour);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    await tenant.edit('canvas', { rotationWindows: [] });
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
  });

  it('A revocation does not wait for a window, but a rotation whose next key was revoked does', async () => {
    const opening = hourOf(now()) + 4 * day;
    await requestRotation({ rotationWindows: [weekly(opening)] });
    const [first = '', second_ = ''] = (await tenant.keys('canvas')).map(({ spec }) => spec.keyID);
    await tenant.edit('canvas', { revokedKeyIDs: [first] });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
    await tenant.edit('canvas', { revokedKeyIDs: [first, second_] });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Revoked, canvas-3 Active');
    await inStep();

    await tenant.edit('canvas', { rotationTrigger: 'c' });
    await untilPublished('canvas-4');
    const fourth = (await tenant.key('canvas-4')).spec.keyID;
    await tenant.edit('canvas', { revokedKeyIDs: [first, second_, fourth] });
    await untilPublished('canvas-5');
    await untilRotatesAt(opening);
    await operator.travel(24 * hour + minute);
    expect((await tenant.key('canvas-5')).status?.state).to.equal('Next');
    await travelTo(opening + second);
    await eventually(async () => expect((await tenant.key('canvas-5')).status?.state).to.equal('Active'));
  });

  const window: Window = { schedule: '0 2 * * 6', duration: '2h', timeZone: 'UTC' };
  const faults: readonly { what: string; wrong: Window; reason: string; says: string }[] = [
    {
      what: 'in an unknown time zone',
      wrong: { ...window, timeZone: 'Mars/Olympus' },
      reason: 'RotationWindowInvalid',
      says: 'spec.rotationWindows[1]: "0 2 * * 6" in time zone "Mars/Olympus" is not valid',
    },
    {
      what: 'at an impossible time',
      wrong: { ...window, schedule: '0 25 * * 6' },
      reason: 'RotationWindowInvalid',
      says: 'spec.rotationWindows[1]: "0 25 * * 6" in time zone "UTC" is not valid, so only the other windows apply. Use five cron fields',
    },
    {
      what: 'that never opens',
      wrong: { ...window, schedule: '0 0 30 2 *' },
      reason: 'RotationWindowNeverOpens',
      says: 'spec.rotationWindows[1]: the schedule "0 0 30 2 *" never opens, so only the other windows apply',
    },
  ];
  for (const { what, wrong, reason, says } of faults) {
    it(`A window ${what} is reported, and rotations happen in the other windows`, async () => {
      const opening = hourOf(now()) + 3 * day;
      await requestRotation({ rotationWindows: [weekly(opening), wrong] });
      expect(await tenant.untilSays('canvas', 'Stalled', `True ${reason}`)).to.include(says);
      await untilRotatesAt(opening);
      await inStep();
      await travelTo(opening - minute);
      expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
      await travelTo(opening + second);
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');

      await tenant.edit('canvas', { rotationWindows: [window] });
      await tenant.untilSays('canvas', 'Stalled', 'False NotStalled');
    });
  }
});
