import { expect } from 'chai';
import { AnnouncedLifetimes, cacheLifetime } from '../../../../src/controller/publication/cache-lifetime.ts';
import { hour, minute } from '../../../../src/domain/duration.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

describe('The cache lifetime of an answer', () => {
  it('adds up what a cache may do with it', () => {
    expect(cacheLifetime('public, max-age=300, stale-while-revalidate=60, stale-if-error=3600')).to.equal(3_960_000);
    expect(cacheLifetime('no-store')).to.equal(0);
    expect(cacheLifetime('x-max-age=5')).to.equal(0);
  });
});

describe('AnnouncedLifetimes', () => {
  let clock: FakeClock;
  let lifetimes: AnnouncedLifetimes;
  beforeEach(() => {
    clock = new FakeClock();
    lifetimes = new AnnouncedLifetimes(clock);
  });

  it('goes on with the longest for as long as a cache may have it, and then with what is announced now', async () => {
    lifetimes.announce('a', hour);
    await clock.advance(59 * minute);
    lifetimes.announce('a', minute);
    expect(lifetimes.longest(['a'])).to.equal(hour);
    await clock.advance(minute);
    lifetimes.announce('a', minute);
    expect(lifetimes.longest(['a'])).to.equal(minute);
  });

  it('counts a longest that is announced again from then on', async () => {
    lifetimes.announce('a', hour);
    await clock.advance(59 * minute);
    lifetimes.announce('a', hour);
    await clock.advance(2 * minute);
    lifetimes.announce('a', minute);
    expect(lifetimes.longest(['a'])).to.equal(hour);
  });

  it('does not change when a replica or all of them give no answer or go', () => {
    lifetimes.announce('a', hour);
    lifetimes.announce('b', minute);
    expect(lifetimes.longest(['a', 'b', 'c'])).to.equal(hour);
    lifetimes.forget(() => true);
    expect(lifetimes.longest([])).to.equal(hour);
    expect(lifetimes.longest(['c'])).to.equal(hour);
    lifetimes.announce('c', minute);
    expect(lifetimes.longest(['c'])).to.equal(minute);
  });
});
