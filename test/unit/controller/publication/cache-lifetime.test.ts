import { expect } from 'chai';
import { AnnouncedLifetimes, cacheLifetime } from '../../../../src/controller/publication/cache-lifetime.ts';
import { hour, minute } from '../../../../src/domain/duration.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

describe('The cache lifetime of a response', () => {
  it('is the sum of max-age, stale-while-revalidate and stale-if-error', () => {
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

  it('keeps the longest lifetime until caches have dropped the response, and then uses the current one', async () => {
    lifetimes.announce('a', hour);
    await clock.advance(59 * minute);
    lifetimes.announce('a', minute);
    expect(lifetimes.longest(['a'])).to.equal(hour);
    await clock.advance(minute);
    lifetimes.announce('a', minute);
    expect(lifetimes.longest(['a'])).to.equal(minute);
  });

  it('keeps a longest lifetime that is announced again for its full length', async () => {
    lifetimes.announce('a', hour);
    await clock.advance(59 * minute);
    lifetimes.announce('a', hour);
    await clock.advance(2 * minute);
    lifetimes.announce('a', minute);
    expect(lifetimes.longest(['a'])).to.equal(hour);
  });

  it('keeps the lifetime when some or all replicas do not respond or are removed', () => {
    lifetimes.announce('a', hour);
    lifetimes.announce('b', minute);
    expect(lifetimes.longest(['a', 'b', 'c'])).to.equal(hour);
    lifetimes.remove(() => true);
    expect(lifetimes.longest([])).to.equal(hour);
    expect(lifetimes.longest(['c'])).to.equal(hour);
    lifetimes.announce('c', minute);
    expect(lifetimes.longest(['c'])).to.equal(minute);
  });
});
