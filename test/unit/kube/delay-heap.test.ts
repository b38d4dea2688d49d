import { expect } from 'chai';
import * as fc from 'fast-check';

import { DelayHeap } from '../../../src/kube/delay-heap.ts';
import type { Priority } from '../../../src/kube/workqueue.ts';

describe('DelayHeap', () => {
  it('gives out nothing before it is due', () => {
    const heap = new DelayHeap();
    heap.put('ns/a', 1000, 1);
    expect(heap.nextAt).to.equal(1000);
    expect(heap.takeDue(999)).to.equal(undefined);
    expect(heap.takeDue(1000)).to.include({ key: 'ns/a', priority: 1 });
    expect(heap.nextAt).to.equal(undefined);
  });

  it('holds a key once, at its earliest time and its highest priority, whatever the order of the puts', () => {
    const put = fc.record({
      key: fc.constantFrom('ns/a', 'ns/b', 'ns/c', 'ns/d', 'ns/e', 'ns/f'),
      at: fc.integer({ min: 0, max: 20 }),
      priority: fc.constantFrom<Priority>(0, 1, 2),
      takeUntil: fc.integer({ min: -20, max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(put, { maxLength: 60 }), (puts) => {
        const heap = new DelayHeap();
        const expected = new Map<string, { at: number; priority: number }>();
        for (const { key, at, priority, takeUntil } of puts) {
          const known = expected.get(key) ?? { at, priority };
          expected.set(key, { at: Math.min(at, known.at), priority: Math.min(priority, known.priority) });
          heap.put(key, at, priority);
          expect(heap.size).to.equal(expected.size);
          takeAndCompare(heap, expected, takeUntil);
        }
        takeAndCompare(heap, expected, 20);
        expect(heap.size).to.equal(0);
      }),
    );
  });
});

/** Takes what is due, and expects it to be just what is expected, the earliest first. */
function takeAndCompare(heap: DelayHeap, expected: Map<string, { at: number; priority: number }>, now: number): void {
  const due = [...expected.values()].filter(({ at }) => at <= now).length;
  let last = -1;
  for (let count = 0; count < due; count++) {
    const taken = heap.takeDue(now);
    const { at, priority } = expected.get(taken?.key ?? '') ?? {};
    expect(taken?.priority).to.equal(priority);
    expect(at).to.be.at.least(last).and.at.most(now);
    last = at ?? last;
    expected.delete(taken?.key ?? '');
  }
  expect(heap.takeDue(now)).to.equal(undefined);
}
