import { expect } from 'chai';
import type { Kind } from './environment.ts';
import { settle } from './progress.ts';
import { type Found, search } from './search.ts';
import { searchTenants } from './tenants.ts';
import { newWorld, type Spec, type World } from './world.ts';

/**
 * Runs `decide` alone through every reachable world, breadth first, in any order of: a process that is killed after any effect, a
 * second one that acts on a stale state, time, replicas that follow or lag, repairs, and a number of disturbances of the named kinds
 * (see environment.ts). Every effect, decision and status is compared with the truth. From every world, everything settles once all
 * faults are repaired, and revoked keys leave within a minute even if no fault is.
 *
 * The bounds: more than 100,000 worlds in total; each search ends with the level that reaches its number of worlds; at most 3 live
 * keys, 2 Retired and 2 Revoked records, two replicas, ticks of 20 min with jumps to the next check and of ten years, clocks that
 * are wrong by 40 min.
 */
describe('The decisions in every reachable state', function () {
  this.timeout(240_000);

  const settled = (disturbances: number, spec: Partial<Spec> = {}): World => ({
    ...settle(newWorld(0, spec), new Set()),
    disturbances,
  });
  const everything: readonly Kind[] = [
    'edit',
    'delivery',
    'revocation',
    'fault',
    'ledger',
    'refusal',
    'clock',
    'replica',
    'removal',
    'foreign',
    'reading',
  ];
  const removed = { deletionPolicy: 'Delete' } as const;

  const searches: readonly (readonly [what: string, least: number, run: (least: number) => Found])[] = [
    ['of a new registration', 9000, (most) => search(newWorld(1), { kinds: everything, maximumWorlds: most })],
    [
      'with revocations and refused writes',
      12_000,
      (most) => search(settled(2), { kinds: ['revocation', 'refusal'], maximumWorlds: most }),
    ],
    [
      'with revocations and ledgers that are lost, corrupt or old',
      12_000,
      (most) => search(settled(2), { kinds: ['revocation', 'ledger'], maximumWorlds: most }),
    ],
    [
      'with three of revocations, refused writes and lost ledgers',
      14_000,
      (most) => search(settled(3), { kinds: ['revocation', 'ledger', 'refusal'], maximumWorlds: most }),
    ],
    [
      'with revocations, lost KEKs, wrong clocks and lagging replicas',
      14_000,
      (most) => search(settled(2), { kinds: ['revocation', 'fault', 'clock', 'replica'], maximumWorlds: most }),
    ],
    [
      'with removals, refused writes and Secrets that cannot be read',
      12_000,
      (most) => search(settled(2, removed), { kinds: ['removal', 'refusal', 'reading'], maximumWorlds: most }),
    ],
    [
      'with removals, revocations and lost ledgers',
      9000,
      (most) => search(settled(2), { kinds: ['removal', 'revocation', 'ledger'], maximumWorlds: most }),
    ],
    [
      'with removals and the deletion of the CustomResourceDefinition',
      5000,
      (most) => search(settled(4, removed), { kinds: ['removal', 'definition'], maximumWorlds: most }),
    ],
    [
      'with other delivery Secrets, some of which cannot be read',
      8000,
      (most) => search(settled(2), { kinds: ['delivery', 'foreign', 'reading'], maximumWorlds: most }),
    ],
    [
      'with keys that wait for a fetch',
      8000,
      (most) =>
        search(settled(2, { activation: 'AfterFetch' }), {
          kinds: ['fetch', 'revocation', 'replica', 'edit'],
          maximumWorlds: most,
        }),
    ],
    [
      'with a second controller',
      8000,
      (most) =>
        search(settled(1), {
          kinds: ['revocation', 'removal', 'delivery', 'edit', 'replica'],
          late: true,
          maximumWorlds: most,
        }),
    ],
    [
      'of a registration beside a broken one',
      6000,
      (most) =>
        searchTenants(
          { troubled: settled(2), other: newWorld(0, { delivery: { secretName: 'b' } }) },
          ['refusal', 'ledger', 'fault', 'delivery', 'removal'],
          most,
        ),
    ],
  ];
  for (const [what, least, run] of searches) {
    it(`The decisions keep every invariant ${what}`, function () {
      const found = run(least);
      // A search that ends too early would find no violation either.
      expect(found.worlds).to.be.at.least(least);
      this.test!.title += ` (${found.worlds} worlds, ${found.steps} steps)`;
    });
  }
});
