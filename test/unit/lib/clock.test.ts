import { expect } from 'chai';
import { getEventListeners } from 'node:events';
import { withDeadline } from '../../../src/lib/clock.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';

describe('withDeadline', () => {
  let clock: FakeClock;
  let stopping: AbortController;
  let given: AbortSignal | undefined;

  beforeEach(() => {
    clock = new FakeClock();
    stopping = new AbortController();
    given = undefined;
  });
  afterEach(() => {
    expect(clock.pendingTimers, 'timers').to.equal(0);
    expect(getEventListeners(stopping.signal, 'abort'), 'listeners').to.deep.equal([]);
  });

  /** Work that ends with `result`, or never. */
  async function outcome(result?: Promise<string>): Promise<() => string> {
    let seen = 'nothing yet';
    const deadline = { clock, milliseconds: 1000, late: () => new Error('late'), signal: stopping.signal };
    withDeadline(deadline, (signal) => {
      given = signal;
      return result ?? new Promise<string>(() => undefined);
    }).then(
      (value) => (seen = value),
      (error: unknown) => (seen = String(error)),
    );
    await settle();
    return () => seen;
  }

  it('withDeadline settles as the work', async () => {
    expect((await outcome(Promise.resolve('done')))()).to.equal('done');
    expect((await outcome(Promise.reject(new Error('broken'))))()).to.equal('Error: broken');
    expect(given?.aborted).to.equal(false);
  });

  it('withDeadline rejects after the time, even if the work ignores its signal', async () => {
    const seen = await outcome();
    await clock.advance(999);
    expect([seen(), given?.aborted]).to.deep.equal(['nothing yet', false]);
    await clock.advance(1);
    expect([seen(), given?.aborted]).to.deep.equal(['Error: late', true]);
  });

  it('withDeadline rejects when the signal aborts, and does not begin afterwards', async () => {
    const seen = await outcome();
    stopping.abort(new Error('stopped'));
    await settle();
    expect([seen(), given?.aborted]).to.deep.equal(['Error: stopped', true]);
    given = undefined;
    expect([(await outcome())(), given]).to.deep.equal(['Error: stopped', undefined]);
  });
});
