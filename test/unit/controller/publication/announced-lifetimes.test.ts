import { expect } from 'chai';
import { AnnouncedLifetimes } from '../../../../src/controller/publication/announced-lifetimes.ts';
import { hour, minute } from '../../../../src/domain/duration.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

describe('AnnouncedLifetimes', () => {
  let clock: FakeClock;
  let lifetimes: AnnouncedLifetimes;
  beforeEach(() => {
    clock = new FakeClock();
    lifetimes = new AnnouncedLifetimes(clock);
  });

  it('AnnouncedLifetimes keeps the longest lifetime until caches have dropped the response, and then uses the current one', async () => {
    lifetimes.announce('a', hour);
    await clock.advance(59 * minute);
    lifetimes.announce('a', minute);
    expect(lifetimes.longest(['a'])).to.equal(hour);
    await clock.advance(minute);
    lifetimes.announce('a', minute);
    expect(lifetimes.longest(['a'])).to.equal(minute);
  });

  it('AnnouncedLifetimes keeps a longest lifetime that is announced again for its full length', async () => {
    lifetimes.announce('a', hour);
    await clock.advance(59 * minute);
    lifetimes.announce('a', hour);
    await clock.advance(2 * minute);
    lifetimes.announce('a', minute);
    expect(lifetimes.longest(['a'])).to.equal(hour);
  });

  it('AnnouncedLifetimes keeps the lifetime when some or all replicas do not respond', async () => {
    lifetimes.announce('a', hour);
    lifetimes.announce('b', minute);
    expect(lifetimes.longest(['a', 'b', 'c'])).to.equal(hour);
    await clock.advance(2 * hour);
    expect(lifetimes.longest(['a', 'b', 'c'])).to.equal(hour);
    expect(lifetimes.longest([])).to.equal(hour);
    expect(lifetimes.longest(['c'])).to.equal(hour);
  });

  it('AnnouncedLifetimes keeps the lifetime that a replaced replica announced until caches have dropped its responses', async () => {
    lifetimes.announce('a', hour);
    lifetimes.announce('c', minute);
    await clock.advance(59 * minute);
    lifetimes.announce('c', minute);
    expect(lifetimes.longest(['c'])).to.equal(hour);
    await clock.advance(minute);
    expect(lifetimes.longest(['c'])).to.equal(minute);
  });
});
