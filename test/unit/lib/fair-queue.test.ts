import { expect } from 'chai';

import { FairQueue } from '../../../src/lib/fair-queue.ts';

function queueOf(...keys: string[]): FairQueue {
  const queue = new FairQueue();
  for (const key of keys) queue.add(key);
  return queue;
}

function takeAll(queue: FairQueue, mayGo?: (namespace: string) => boolean): string[] {
  const taken: string[] = [];
  for (let key = queue.take(mayGo); key !== undefined; key = queue.take(mayGo)) taken.push(key);
  return taken;
}

/** CPU time of this thread, in microseconds: other processes on the machine hardly change it. */
function cpuOf(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return user + system;
}

describe('FairQueue', () => {
  it('Namespaces take turns, and a namespace that returns is last', () => {
    const queue = queueOf('a/1', 'a/2', 'b/1');
    expect(queue.take()).to.equal('a/1');
    expect(queue.take()).to.equal('b/1');
    queue.add('b/2');
    expect(takeAll(queue)).to.deep.equal(['a/2', 'b/2']);
    expect(queue.size).to.equal(0);
    queue.add('a/3');
    expect(takeAll(queue), 'after it was empty').to.deep.equal(['a/3']);
  });

  it('take skips a namespace that may not go, and the namespace keeps its keys', () => {
    const queue = queueOf('a/1', 'b/1', 'a/2', 'b/2');
    expect(takeAll(queue, (namespace) => namespace !== 'a')).to.deep.equal(['b/1', 'b/2']);
    expect(queue.size).to.equal(2);
    expect(takeAll(queue)).to.deep.equal(['a/1', 'a/2']);
  });

  it('A key that is queued already keeps its place', () => {
    const queue = queueOf('a/1', 'a/2', 'a/1');
    expect(queue.size).to.equal(2);
    expect(takeAll(queue)).to.deep.equal(['a/1', 'a/2']);
  });

  it('A deleted key is last if it is added again', () => {
    const queue = queueOf('a/1', 'a/2', 'a/3');
    expect(queue.delete('a/1')).to.equal(true);
    expect(queue.delete('a/unknown')).to.equal(false);
    expect(queue.delete('b/unknown')).to.equal(false);
    expect(queue.size).to.equal(2);
    queue.add('a/1');
    expect(takeAll(queue)).to.deep.equal(['a/2', 'a/3', 'a/1']);
  });

  it('A namespace whose keys were all deleted gets no turn', () => {
    const queue = queueOf('a/1', 'b/1', 'a/2');
    queue.delete('a/1');
    queue.delete('a/2');
    expect(queue.size).to.equal(1);
    queue.add('a/3');
    expect(takeAll(queue)).to.deep.equal(['b/1', 'a/3']);
  });

  for (const [where, namespaces] of [
    ['in one namespace', 1],
    ['in 100,000 namespaces', 100_000],
  ] as const) {
    it(`Taking 100,000 keys ${where} takes about as much work as adding them`, () => {
      const keys = Array.from({ length: 100_000 }, (_, index) => `${index % namespaces}/${index}`);
      const queue = new FairQueue();
      const adding = cpuOf(() => keys.forEach((key) => queue.add(key)));
      // About the same in truth; more than ten times as much if each take passes over what was taken before.
      expect(cpuOf(() => takeAll(queue))).to.be.lessThan(4 * adding);
    });
  }
});
