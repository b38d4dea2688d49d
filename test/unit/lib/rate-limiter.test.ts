import { expect } from 'chai';
import { RateLimiter } from '../../../src/lib/rate-limiter.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';

describe('RateLimiter', () => {
  const limited = (qps: number, burst: number) => {
    const clock = new FakeClock();
    const limiter = new RateLimiter({ qps, burst }, clock);
    const admitted: number[] = [];
    let asked = 0;
    const ask = (count: number): void => {
      for (let n = 0; n < count; n++) {
        const number = asked++;
        void limiter.admit().then(() => admitted.push(number));
      }
    };
    return { clock, limiter, admitted, ask };
  };

  it('The limiter admits a burst at once, and then requests at the rate, first come, first served', async () => {
    const { clock, admitted, ask } = limited(10, 5);
    ask(12);
    await settle();
    expect(admitted).to.deep.equal([0, 1, 2, 3, 4]);
    await clock.advance(99);
    expect(admitted).to.have.length(5);
    await clock.advance(1);
    expect(admitted).to.have.length(6);
    await clock.advance(600);
    expect(admitted).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  it('The limiter admits no more than the burst after an hour without requests', async () => {
    const { clock, admitted, ask } = limited(10, 5);
    ask(5);
    await clock.advance(3_600_000);
    ask(20);
    await settle();
    expect(admitted).to.have.length(10);
    await clock.advance(1_000);
    expect(admitted).to.have.length(20);
  });

  it('The limiter does not delay requests at the rate', async () => {
    const { clock, admitted, ask } = limited(10, 1);
    for (let n = 1; n <= 50; n++) {
      ask(1);
      // oxlint-disable-next-line no-await-in-loop
      await settle();
      expect(admitted).to.have.length(n);
      // oxlint-disable-next-line no-await-in-loop
      await clock.advance(100);
    }
  });

  it('An aborted request resolves, and leaves no timer', async () => {
    const { clock, limiter, ask } = limited(1, 1);
    ask(1);
    const stop = new AbortController();
    const waiting = limiter.admit(stop.signal);
    stop.abort();
    await waiting;
    expect(clock.pendingTimers).to.equal(0);
  });
});
