import { expect } from 'chai';
import { keyPool, RandomLife } from './random-life.ts';

/**
 * The reconciler with its caches and memories, in random lives of one registration: users edit, revoke, delete and apply again; caches
 * and replicas lag; requests are refused, time out before or after they were carried out, or lose a race; the process restarts; a
 * second one with older caches acts as well. Every write is compared with the invariants, and everything settles in the end.
 *
 * LTI_LIVES=5000 runs more, LTI_LIVES_SEED=7 others.
 */
describe('The reconciler in random lives', function () {
  this.timeout(3_600_000);
  const lives = Number(process.env['LTI_LIVES'] ?? 150);
  const firstSeed = Number(process.env['LTI_LIVES_SEED'] ?? 1);

  it('The reconciler keeps every invariant at every write, and settles once faults end', async () => {
    const pool = await keyPool();
    const reached = new Map<string, number>();
    for (let seed = firstSeed; seed < firstSeed + lives; seed++) {
      const life = new RandomLife(seed, pool);
      try {
        await life.live(40);
        await life.settle();
      } catch (error) {
        const { message } = error as Error;
        throw new Error(`LTI_LIVES_SEED=${seed}: ${message}, after:\n  ${life.trace.join('\n  ')}`, { cause: error });
      }
      for (const what of life.reached) reached.set(what, (reached.get(what) ?? 0) + 1);
    }
    // A life in which nothing happens would keep every invariant, too.
    expect([...reached.keys()]).to.include.members(['rotated', 'revoked', 'renamed', 'removed', 'lost an answer']);
    console.log(`        ${lives} lives: ${[...reached].map(([what, count]) => `${count} ${what}`).join(', ')}`);
  });
});
