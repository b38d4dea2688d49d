import { expect } from 'chai';
import * as fc from 'fast-check';

import {
  maximumBackoffMs,
  WorkQueue,
  type WorkQueueFigures,
  type WorkQueueMetrics,
} from '../../../src/kube/workqueue.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';

function newQueue(metrics?: WorkQueueMetrics): { clock: FakeClock; queue: WorkQueue } {
  const clock = new FakeClock();
  return { clock, queue: new WorkQueue({ clock, name: 'test', random: () => 0, ...(metrics ? { metrics } : {}) }) };
}

/** What `get` hands out until it would wait. */
async function takeAll(queue: WorkQueue): Promise<string[]> {
  const taken: string[] = [];
  while (queue.size > 0) {
    const key = await queue.get();
    if (key !== undefined) taken.push(key);
  }
  return taken;
}

describe('WorkQueue', () => {
  it('hands out keys in the order they were added, each once', async () => {
    const { queue } = newQueue();
    for (const key of ['b', 'a', 'b', 'c', 'a']) queue.add(key);
    expect(queue.size).to.equal(3);
    expect(await takeAll(queue)).to.deep.equal(['b', 'a', 'c']);
  });

  it('keeps a key that was added while it is worked on until that work is done', async () => {
    const { queue } = newQueue();
    queue.add('a');
    await queue.get();
    queue.add('a');
    queue.add('a');
    expect(queue.size).to.equal(0);
    queue.done('a');
    expect(await takeAll(queue)).to.deep.equal(['a']);
    queue.done('a');
    expect(queue.size).to.equal(0);
  });

  it('wakes waiting workers in turn, one per key', async () => {
    const { queue } = newQueue();
    const got: string[] = [];
    for (const worker of [1, 2, 3]) void queue.get().then((key) => got.push(`${worker}:${key}`));
    queue.add('a');
    queue.add('b');
    await settle();
    expect(got).to.deep.equal(['1:a', '2:b']);
  });

  it('adds a delayed key when it is due and not before', async () => {
    const { clock, queue } = newQueue();
    queue.addAfter('a', 1000);
    await clock.advance(999);
    expect(queue.size).to.equal(0);
    await clock.advance(1);
    expect(await takeAll(queue)).to.deep.equal(['a']);
  });

  for (const [first, second] of [
    [1000, 5000],
    [5000, 1000],
  ] as const) {
    it(`takes the earlier of two delays when ${first} ms is followed by ${second} ms`, async () => {
      const { clock, queue } = newQueue();
      queue.addAfter('a', first);
      queue.addAfter('a', second);
      await clock.advance(1000);
      expect(await takeAll(queue)).to.deep.equal(['a']);
      queue.done('a');
      await clock.advance(10_000);
      expect(queue.size, 'the later delay is no second add').to.equal(0);
    });
  }

  it('adds at once when the delay is not positive', () => {
    const { queue } = newQueue();
    queue.addAfter('a', 0);
    queue.addAfter('b', -5);
    expect(queue.size).to.equal(2);
  });

  it('doubles the backoff of a failing key from 5 ms up to 60 s, and begins again once it is forgotten', async () => {
    const { clock, queue } = newQueue();
    const delays: number[] = [];
    for (let failure = 0; failure < 16; failure++) {
      if (failure === 15) queue.forget('a');
      const before = clock.monotonic();
      queue.addRateLimited('a');
      while (queue.size === 0) await clock.advance(5);
      await takeAll(queue);
      queue.done('a');
      delays.push(clock.monotonic() - before);
    }
    const doubled = Array.from({ length: 14 }, (_, n) => 5 * 2 ** n);
    expect(delays).to.deep.equal([...doubled, maximumBackoffMs, 5]);
  });

  it('takes up to half of the backoff off at random', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock, name: 'test', random: () => 0.8 });
    queue.addRateLimited('a');
    await clock.advance(2.9);
    expect(queue.size).to.equal(0);
    await clock.advance(0.1);
    expect(queue.size).to.equal(1);
  });

  it('waits as long as a server asks, up to the maximum', async () => {
    const { clock, queue } = newQueue();
    queue.addRateLimited('a', 7000);
    queue.addRateLimited('b', 3_600_000);
    await clock.advance(6999);
    expect(queue.size).to.equal(0);
    await clock.advance(1);
    expect(await takeAll(queue)).to.deep.equal(['a']);
    await clock.advance(maximumBackoffMs - 7000);
    expect(await takeAll(queue)).to.deep.equal(['b']);
  });

  it('hands out what waits after a shutdown, then undefined, and takes nothing more', async () => {
    const { clock, queue } = newQueue();
    queue.add('a');
    queue.addAfter('b', 1000);
    queue.shutDown();
    queue.add('c');
    queue.addAfter('d', 1000);
    queue.addRateLimited('e');
    expect(clock.pendingTimers, 'delayed adds are cancelled').to.equal(0);
    expect(await queue.get()).to.equal('a');
    expect(await queue.get()).to.equal(undefined);
  });

  it('releases waiting workers at shutdown', async () => {
    const { queue } = newQueue();
    const waiting = [queue.get(), queue.get()];
    queue.shutDown();
    expect(await Promise.all(waiting)).to.deep.equal([undefined, undefined]);
  });

  it('reports adds, retries, waiting and working time, and its figures at any moment', async () => {
    const seen: string[] = [];
    let figures: (() => WorkQueueFigures) | undefined;
    const { clock, queue } = newQueue({
      watch: (_, source) => void (figures = source),
      added: (name) => void seen.push(`${name} added`),
      retried: (name) => void seen.push(`${name} retried`),
      waited: (name, seconds) => void seen.push(`${name} waited ${seconds}`),
      worked: (name, seconds) => void seen.push(`${name} worked ${seconds}`),
    });
    queue.add('a');
    queue.add('b');
    queue.add('c');
    await clock.advance(2000);
    await queue.get();
    await clock.advance(1000);
    await queue.get();
    await clock.advance(3000);
    expect(figures?.()).to.deep.equal({ depth: 1, unfinishedSeconds: 7, longestRunningSeconds: 4 });
    queue.done('a');
    queue.addRateLimited('a');
    expect(seen).to.deep.equal([
      ...Array.from({ length: 3 }, () => 'test added'),
      'test waited 2',
      'test waited 3',
      'test worked 4',
      'test retried',
    ]);
  });

  it('never loses an add and never hands one key to two workers, whatever the order of calls', async () => {
    const step = fc.record({ call: fc.constantFrom('add', 'get', 'done'), key: fc.constantFrom('a', 'b', 'c') });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { queue } = newQueue();
        const needed = new Set<string>();
        const working = new Set<string>();
        const begin = async (): Promise<void> => {
          const key = (await queue.get()) ?? '';
          expect(working.has(key), 'worked on twice').to.equal(false);
          expect(needed.delete(key), 'nobody asked for it').to.equal(true);
          working.add(key);
        };
        for (const { call, key } of steps) {
          if (call === 'add') needed.add(key);
          if (call === 'add') queue.add(key);
          if (call === 'get' && queue.size > 0) await begin();
          if (call === 'done' && working.delete(key)) queue.done(key);
        }
        for (const key of working) queue.done(key);
        working.clear();
        while (queue.size > 0) await begin();
        expect([...needed], 'added and never handed out').to.deep.equal([]);
      }),
    );
  });
});
