import { expect } from 'chai';
import { cacheControl, cacheLifetime, defaultMaxAge } from '../../../src/documents/cache-control.ts';

describe('Cache-Control', () => {
  it('cacheLifetime is the sum of max-age, stale-while-revalidate and stale-if-error', () => {
    expect(cacheLifetime('public, max-age=300, stale-while-revalidate=60, stale-if-error=3600')).to.equal(3_960_000);
    expect(cacheLifetime('no-store')).to.equal(0);
    expect(cacheLifetime('x-max-age=5')).to.equal(0);
  });

  it('cacheControl announces 66 minutes by default, and at most one minute after a revocation', () => {
    expect(cacheLifetime(cacheControl(defaultMaxAge, false))).to.equal(66 * 60_000);
    expect(cacheLifetime(cacheControl(defaultMaxAge, true))).to.equal(60_000);
    expect(cacheLifetime(cacheControl(5, true))).to.equal(5000);
  });
});
