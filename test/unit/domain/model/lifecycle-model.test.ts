import { expect } from 'chai';
import { type Found, search } from './search.ts';
import { newWorld } from './world.ts';

/**
 * Every world that can come about from a new registration by any order of: a controller that is killed after any write, a
 * second one that decided on what is no longer so, time, replicas that follow or not, healing, and so many disturbances of
 * the named kinds (see environment.ts). Every invariant is checked in every one of them.
 *
 * The bounds: at most 3 live keys, 2 Retired records, ticks of 20 min with jumps to the next check and of ten years, clocks
 * wrong by 40 min, a late controller that is one write of the ledger and no tick behind.
 */
describe('the lifecycle in every world that can come about', function () {
  this.timeout(120_000);
  let worlds = 0;

  const searches: readonly (readonly [string, number, () => Found])[] = [
    ['with one disturbance of any kind', 40_000, () => search(newWorld(1))],
    ['with two of lost replicas and wrong clocks', 15_000, () => search(newWorld(2), ['clock', 'replica'])],
    ['with two of lost replicas and faults', 20_000, () => search(newWorld(2), ['fault', 'replica'])],
    ['with three of lost replicas', 9000, () => search(newWorld(3), ['replica'])],
    ['with two changes of the delivery Secret', 18_000, () => search(newWorld(2), ['delivery'])],
  ];
  for (const [what, least, run] of searches) {
    it(`keeps every invariant ${what}`, function () {
      const found = run();
      worlds += found.worlds;
      // A search that lost its way would find nothing wrong either.
      expect(found.worlds).to.be.above(least);
      expect(found.conflicts).to.be.above(1000);
      this.test!.title += ` (${found.worlds} worlds, ${found.steps} steps, ${found.conflicts} refused late writes)`;
    });
  }

  after(() => expect(worlds).to.be.above(100_000));
});
