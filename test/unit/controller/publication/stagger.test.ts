import { expect } from 'chai';
import { stagger } from '../../../../src/controller/publication/stagger.ts';
import { minute } from '../../../../src/domain/duration.ts';

describe('stagger', () => {
  const delays = (keys: readonly string[]): readonly (readonly [string, number])[] => {
    const enqueued: (readonly [string, number])[] = [];
    stagger(keys, minute, (key, delay) => enqueued.push([key, delay]));
    return enqueued;
  };

  it('stagger enqueues each key once, the first at once and the others evenly over the time', () => {
    expect(delays(['a', 'b', 'c', 'd'])).to.deep.equal([
      ['a', 0],
      ['b', 15_000],
      ['c', 30_000],
      ['d', 45_000],
    ]);
    expect(delays(['a'])).to.deep.equal([['a', 0]]);
    expect(delays([])).to.deep.equal([]);
  });

  it('stagger lets no second of the minute have more than its share of 10,000', () => {
    const perSecond = new Map<number, number>();
    for (const [, delay] of delays(Array.from({ length: 10_000 }, (_, index) => `ns/${index}`))) {
      const at = Math.floor(delay / 1000);
      perSecond.set(at, (perSecond.get(at) ?? 0) + 1);
    }
    expect(perSecond.size).to.equal(60);
    expect(Math.max(...perSecond.values())).to.be.at.most(167);
  });
});
