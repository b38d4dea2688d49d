import { expect } from 'chai';

import { FairQueue } from '../../../src/kube/fair-queue.ts';

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

describe('FairQueue', () => {
  it('Namespaces take turns, and a namespace that returns is last', () => {
    const queue = queueOf('a/1', 'a/2', 'b/1');
    expect(queue.take()).to.equal('a/1');
    expect(queue.take()).to.equal('b/1');
    queue.add('b/2');
    expect(takeAll(queue)).to.deep.equal(['a/2', 'b/2']);
    expect(queue.size).to.equal(0);
  });

  it('take skips a namespace that may not go, and the namespace keeps its keys', () => {
    const queue = queueOf('a/1', 'b/1', 'a/2', 'b/2');
    expect(takeAll(queue, (namespace) => namespace !== 'a')).to.deep.equal(['b/1', 'b/2']);
    expect(queue.size).to.equal(2);
    expect(takeAll(queue)).to.deep.equal(['a/1', 'a/2']);
  });

  it('A deleted key is last if it is added again', () => {
    const queue = queueOf('a/1', 'a/2', 'a/3');
    queue.delete('a/1');
    queue.delete('a/unknown');
    queue.delete('b/unknown');
    expect(queue.size).to.equal(2);
    queue.add('a/1');
    expect(takeAll(queue)).to.deep.equal(['a/2', 'a/3', 'a/1']);
  });
});
