import { expect } from 'chai';
import * as fc from 'fast-check';

import {
  maximumBackoff,
  type Priority,
  WorkQueue,
  type WorkQueueFigures,
  type WorkQueueMetrics,
} from '../../../src/kube/workqueue.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';

function newQueue(metrics?: WorkQueueMetrics): { clock: FakeClock; queue: WorkQueue } {
  const clock = new FakeClock();
  return { clock, queue: new WorkQueue({ clock, name: 'test', random: () => 0, ...(metrics ? { metrics } : {}) }) };
}

/** `count` keys of one namespace: `bank/a0`, `bank/a1`, … */
function keysOf(namespace: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${namespace}/a${index}`);
}

/** Takes all keys that wait. */
async function takeAll(queue: WorkQueue): Promise<string[]> {
  const taken: string[] = [];
  while (queue.size > 0) {
    const key = await queue.get();
    if (key !== undefined) taken.push(key);
  }
  return taken;
}

describe('WorkQueue', () => {
  it('The queue returns keys in the order of their adds, each once', async () => {
    const { queue } = newQueue();
    for (const key of ['b', 'a', 'b', 'c', 'a']) queue.add(key);
    expect(queue.size).to.equal(3);
    expect(await takeAll(queue)).to.deep.equal(['b', 'a', 'c']);
  });

  describe('priorities', () => {
    it('A revocation overtakes 10,000 waiting registrations', async () => {
      const { queue } = newQueue();
      for (const key of keysOf('bank', 10_000)) queue.add(key, 2);
      queue.add('school/revoked', 0);
      expect(await queue.get()).to.equal('school/revoked');
      expect(queue.size).to.equal(10_000);
    });

    it('Revocations are first, registrations with keys second, new registrations last', async () => {
      const { queue } = newQueue();
      queue.add('ns/new', 2);
      queue.add('ns/begun');
      queue.add('ns/revoked', 0);
      expect(await takeAll(queue)).to.deep.equal(['ns/revoked', 'ns/begun', 'ns/new']);
    });

    it('A waiting key moves up if it is added with a higher priority, and never down', async () => {
      const { queue } = newQueue();
      for (const key of ['ns/a', 'ns/b', 'ns/c']) queue.add(key);
      queue.add('ns/c', 0);
      queue.add('ns/a', 2);
      expect(queue.size).to.equal(3);
      expect(await takeAll(queue)).to.deep.equal(['ns/c', 'ns/a', 'ns/b']);
    });

    it('A key that is added while it is processed is queued at the highest of the new priorities', async () => {
      const { queue } = newQueue();
      queue.add('ns/a');
      expect(await queue.get()).to.equal('ns/a');
      queue.add('ns/b');
      for (const priority of [2, 0, 1] as const) queue.add('ns/a', priority);
      queue.done('ns/a');
      expect(await takeAll(queue)).to.deep.equal(['ns/a', 'ns/b']);
    });

    it('A delayed key has the highest priority of its delayed adds', async () => {
      const { clock, queue } = newQueue();
      queue.addAfter('ns/revoked', 3000, 0);
      queue.addAfter('ns/revoked', 1000, 2);
      queue.addRateLimited('ns/removed', 2000, 0);
      queue.add('ns/begun');
      await clock.advance(2000);
      expect(await takeAll(queue)).to.deep.equal(['ns/revoked', 'ns/removed', 'ns/begun']);
    });

    it('A continuous stream of revocations leaves one turn in sixteen to each other priority', async () => {
      const { queue } = newQueue();
      const streams = [keysOf('bank', 200), keysOf('college', 50), keysOf('school', 50)];
      streams.forEach((keys, priority) => {
        for (const key of keys) queue.add(key, priority as Priority);
      });
      const taken: (string | undefined)[] = [];
      for (let turn = 0; turn < 160; turn++) taken.push(await queue.get());
      const of = (namespace: string): number => taken.filter((key) => key?.startsWith(`${namespace}/`)).length;
      expect([of('bank'), of('college'), of('school')]).to.deep.equal([140, 10, 10]);
    });
  });

  describe('namespaces', () => {
    it('Namespaces take turns, and each namespace is first in, first out', async () => {
      const { queue } = newQueue();
      for (const key of ['bank/a', 'bank/b', 'bank/c', 'college/d', 'school/e', 'college/f']) queue.add(key);
      expect(await takeAll(queue)).to.deep.equal(['bank/a', 'college/d', 'school/e', 'bank/b', 'college/f', 'bank/c']);
    });

    it('A namespace with 10,000 waiting keys delays the key of another namespace by one turn', async () => {
      const { queue } = newQueue();
      for (const key of keysOf('bank', 10_000)) queue.add(key);
      queue.add('school/a');
      await queue.get();
      expect(await queue.get()).to.equal('school/a');
    });

    it('A namespace loses its turn if its only key moves up', async () => {
      const { queue } = newQueue();
      for (const key of ['bank/a', 'college/b', 'college/c', 'school/d']) queue.add(key);
      queue.add('bank/a', 0);
      expect(await takeAll(queue)).to.deep.equal(['bank/a', 'college/b', 'school/d', 'college/c']);
    });
  });

  it('The queue has one timer for 10,000 delayed keys', async () => {
    const { clock, queue } = newQueue();
    const keys = keysOf('bank', 10_000);
    for (const [index, key] of keys.entries()) queue.addAfter(key, 1000 + ((index * 7919) % 10_000));
    expect(clock.pendingTimers).to.equal(1);
    await clock.advance(1000 + 99);
    expect(queue.size, 'keys that are due').to.equal(100);
    expect(clock.pendingTimers).to.equal(1);
    queue.shutDown();
    expect(clock.pendingTimers).to.equal(0);
  });

  it('The queue holds back a key that is added while it is processed', async () => {
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

  it('The queue wakes one worker per key, the longest waiting first', async () => {
    const { queue } = newQueue();
    const got: string[] = [];
    for (const worker of [1, 2, 3]) void queue.get().then((key) => got.push(`${worker}:${key}`));
    queue.add('a');
    queue.add('b');
    await settle();
    expect(got).to.deep.equal(['1:a', '2:b']);
  });

  it('addAfter adds a key when it is due', async () => {
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
    it(`addAfter keeps the earlier delay if ${first} ms is followed by ${second} ms`, async () => {
      const { clock, queue } = newQueue();
      queue.addAfter('a', first);
      queue.addAfter('a', second);
      await clock.advance(1000);
      expect(await takeAll(queue)).to.deep.equal(['a']);
      queue.done('a');
      await clock.advance(10_000);
      expect(queue.size, 'the later delay does not add the key again').to.equal(0);
    });
  }

  it('addAfter adds a key at once if the delay is not positive', () => {
    const { queue } = newQueue();
    queue.addAfter('a', 0);
    queue.addAfter('b', -5);
    expect(queue.size).to.equal(2);
  });

  it('addRateLimited doubles the backoff of a key from 5 ms up to 60 s, until forget resets it', async () => {
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
    expect(delays).to.deep.equal([...doubled, maximumBackoff, 5]);
  });

  it('addRateLimited subtracts up to half of the backoff at random', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock, name: 'test', random: () => 0.8 });
    queue.addRateLimited('a');
    await clock.advance(2.9);
    expect(queue.size).to.equal(0);
    await clock.advance(0.1);
    expect(queue.size).to.equal(1);
  });

  it('addRateLimited respects a Retry-After, up to the maximum', async () => {
    const { clock, queue } = newQueue();
    queue.addRateLimited('a', 7000);
    queue.addRateLimited('b', 3_600_000);
    await clock.advance(6999);
    expect(queue.size).to.equal(0);
    await clock.advance(1);
    expect(await takeAll(queue)).to.deep.equal(['a']);
    await clock.advance(maximumBackoff - 7000);
    expect(await takeAll(queue)).to.deep.equal(['b']);
  });

  it('After a shutdown, the queue returns waiting keys, then undefined, and accepts no keys', async () => {
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

  it('A shutdown releases waiting workers', async () => {
    const { queue } = newQueue();
    const waiting = [queue.get(), queue.get()];
    queue.shutDown();
    expect(await Promise.all(waiting)).to.deep.equal([undefined, undefined]);
  });

  it('The metrics count adds, retries, and the time of waiting and working', async () => {
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

  it('The queue never loses an add, and never returns a key to two workers, for any order of calls', async () => {
    const step = fc.record({
      call: fc.constantFrom('add', 'get', 'done'),
      key: fc.constantFrom('n/a', 'n/b', 'm/c'),
      priority: fc.constantFrom(0, 1, 2),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { queue } = newQueue();
        const needed = new Set<string>();
        const working = new Set<string>();
        const begin = async (): Promise<void> => {
          const key = (await queue.get()) ?? '';
          expect(working.has(key), 'processed twice').to.equal(false);
          expect(needed.delete(key), 'returned without an add').to.equal(true);
          working.add(key);
        };
        for (const { call, key, priority } of steps) {
          if (call === 'add') needed.add(key);
          if (call === 'add') queue.add(key, priority);
          if (call === 'get' && queue.size > 0) await begin();
          if (call === 'done' && working.delete(key)) queue.done(key);
        }
        for (const key of working) queue.done(key);
        working.clear();
        while (queue.size > 0) await begin();
        expect([...needed], 'added and never returned').to.deep.equal([]);
      }),
    );
  });
});
