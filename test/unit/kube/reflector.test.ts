import { expect } from 'chai';

import { ApiError, TransportError } from '../../../src/kube/errors.ts';
import type { KubeList, KubeObject } from '../../../src/kube/objects.ts';
import { Reflector, type ReflectorOptions } from '../../../src/kube/reflector.ts';
import { Store } from '../../../src/kube/store.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';
import { FakeListWatcher } from '../../fakes/fake-list-watcher.ts';

const minute = 60_000;

function object(name: string, resourceVersion: number, uid = `uid-of-${name}`): KubeObject {
  return { metadata: { namespace: 'ns', name, uid, resourceVersion: String(resourceVersion) } };
}

function list(resourceVersion: number, items: readonly KubeObject[]): KubeList<KubeObject> {
  return { metadata: { resourceVersion: String(resourceVersion) }, items };
}

function refused(status: number, retryAfter?: number): ApiError {
  return new ApiError(`watch: ${status}`, { status, reason: 'Unknown', retryAfter });
}

function typeMissing(): never {
  throw new ApiError('list: 404', { status: 404, reason: 'NotFound', missing: 'resource type' });
}

function bench(options: Pick<ReflectorOptions<KubeObject>, 'random'> = {}) {
  const clock = new FakeClock();
  const source = new FakeListWatcher<KubeObject>(clock);
  source.onList = () => list(10, [object('a', 3), object('b', 7)]);
  const errors: unknown[] = [];
  const changes: string[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  const store = new Store<KubeObject>({}, onError);
  const nothing = (): void => undefined;
  const hooks = { onSynced: nothing, onWatch: nothing, onError };
  const reflector = new Reflector({ source, store, clock, random: () => 0, ...hooks, ...options });
  store.onChange(({ type, object: { metadata }, previous }) => {
    const before = previous === undefined || type === 'deleted' ? '' : ` was ${previous.metadata.resourceVersion}`;
    changes.push(`${type} ${metadata.name} ${metadata.resourceVersion}${before}`);
  });
  const stopping = new AbortController();
  const start = async (): Promise<void> => {
    running = reflector.run(stopping.signal);
    await settle();
  };
  let running = Promise.resolve();
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  const stored = (): string[] => store.list().map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`);
  return { clock, source, errors, changes, reflector, store, start, stop, stopping, stored };
}

describe('Reflector', () => {
  it('The reflector lists, then watches from the version of the list', async () => {
    const { source, reflector, changes, stored, clock, start, stop } = bench();
    expect([reflector.hasSynced(), reflector.connected()]).to.deep.equal([false, false]);
    await start();
    expect([reflector.hasSynced(), reflector.connected()]).to.deep.equal([true, true]);
    source.current.send('ADDED', object('c', 11));
    source.current.send('MODIFIED', object('a', 12));
    source.current.send('DELETED', object('b', 13));
    await settle();
    expect(clock.pendingTimers, 'one timer, for a dead connection').to.equal(1);
    expect(source.calls).to.deep.equal(['list', 'watch 10']);
    expect(changes).to.deep.equal(['added a 3', 'added b 7', 'added c 11', 'modified a 12 was 3', 'deleted b 13']);
    expect(stored()).to.deep.equal(['c 11', 'a 12']);
    await stop();
    expect(reflector.connected()).to.equal(false);
    expect(clock.pendingTimers).to.equal(0);
  });

  it('The handlers receive the differences of a later list', async () => {
    const { source, changes, clock, start, stop } = bench();
    source.onList = () =>
      list(10, [object('same', 1), object('newer', 2), object('replaced', 3, 'old'), object('gone', 4)]);
    await start();
    changes.length = 0;
    source.onList = () =>
      list(20, [object('same', 1), object('newer', 12), object('replaced', 13, 'new'), object('fresh', 14)]);
    source.current.fail(refused(410));
    await clock.advance(800);
    expect(changes).to.deep.equal([
      'deleted gone 4',
      'modified newer 12 was 2',
      'deleted replaced 3',
      'added replaced 13',
      'added fresh 14',
    ]);
    expect(source.calls).to.deep.equal(['list', 'watch 10', 'list', 'watch 20']);
    await stop();
  });

  it('An empty list deletes all stored objects', async () => {
    const { source, changes, stored, clock, start, stop } = bench();
    await start();
    source.onList = () => list(20, []);
    source.current.fail(refused(410));
    await clock.advance(800);
    expect(changes.slice(2)).to.deep.equal(['deleted a 3', 'deleted b 7']);
    expect(stored()).to.deep.equal([]);
    await stop();
  });

  it('The reflector has synced after an empty list', async () => {
    const { source, reflector, stored, start, stop } = bench();
    source.onList = () => list(10, []);
    await start();
    expect([reflector.hasSynced(), reflector.connected(), stored()]).to.deep.equal([true, true, []]);
    await stop();
  });

  it('The reflector keeps its content and retries while the type is missing', async () => {
    const { source, reflector, changes, stored, clock, start, stop } = bench();
    await start();
    source.onList = typeMissing;
    source.onWatch = typeMissing;
    source.current.end();
    await clock.advance(10 * minute);
    expect(stored()).to.deep.equal(['a 3', 'b 7']);
    expect(changes).to.have.length(2);
    expect([reflector.hasSynced(), reflector.connected()]).to.deep.equal([true, false]);
    source.onList = () => list(40, [object('a', 33, 'reinstalled')]);
    source.onWatch = () => undefined;
    await clock.advance(30_000);
    expect(stored()).to.deep.equal(['a 33']);
    expect(reflector.connected()).to.equal(true);
    await stop();
  });

  describe('recovery', () => {
    const relist = ['list', 'watch 20'];
    const rewatch = ['watch 11'];
    const faults: readonly { title: string; error: Error; resumption: readonly string[] }[] = [
      { title: 'an expired version (410)', error: refused(410), resumption: relist },
      { title: 'a missing type (404)', error: refused(404), resumption: relist },
      { title: 'a refused version (400)', error: refused(400), resumption: relist },
      { title: 'a malformed line', error: new TransportError('Malformed', 'x'), resumption: relist },
      { title: 'a timeout', error: new TransportError('Timeout', 'x'), resumption: rewatch },
      { title: 'an unknown error', error: new RangeError('x'), resumption: relist },
      { title: 'a broken connection', error: new TransportError('Connection', 'x'), resumption: rewatch },
      { title: 'missing credentials', error: new TransportError('Credentials', 'x'), resumption: rewatch },
      { title: 'refused credentials (401)', error: refused(401), resumption: rewatch },
      { title: 'missing rights (403)', error: refused(403), resumption: rewatch },
      { title: 'an overloaded server (429)', error: refused(429), resumption: rewatch },
      { title: 'a failing server (500)', error: refused(500), resumption: rewatch },
      { title: 'a restarting server (503)', error: refused(503), resumption: rewatch },
    ];
    for (const { title, error, resumption } of faults) {
      it(`The reflector recovers from ${title} within a watch: ${resumption.join(', ')}`, async () => {
        const { source, reflector, errors, clock, start, stop } = bench();
        await start();
        source.current.bookmark('11');
        await settle();
        source.onList = () => list(20, [object('a', 3), object('b', 7)]);
        source.current.fail(error);
        await settle();
        expect(reflector.connected()).to.equal(false);
        await clock.advance(799);
        expect(source.calls).to.deep.equal(['list', 'watch 10']);
        await clock.advance(1);
        expect(source.calls.slice(2)).to.deep.equal(resumption);
        expect(errors).to.deep.equal([error]);
        expect([reflector.hasSynced(), reflector.connected()]).to.deep.equal([true, true]);
        await stop();
      });

      it(`The reflector recovers from ${title} in answer to a list and to a watch`, async () => {
        const { source, reflector, stored, clock, start, stop } = bench();
        let failures = 2;
        const onList = source.onList;
        source.onList = () => {
          if (failures-- > 0) throw error;
          return onList();
        };
        let watchFailures = 2;
        source.onWatch = () => {
          if (watchFailures-- > 0) throw error;
        };
        await start();
        expect(reflector.hasSynced()).to.equal(false);
        await clock.advance(minute);
        expect(stored()).to.deep.equal(['a 3', 'b 7']);
        expect(reflector.connected()).to.equal(true);
        await stop();
      });
    }
  });

  it('The reflector lists again after two failed watches, as of a version ahead of a restored etcd', async () => {
    const { source, clock, start, stop } = bench();
    await start();
    source.onWatch = (watch) => {
      if (source.calls.at(-1) === 'watch 10') throw refused(504);
      watch.bookmark('5');
    };
    source.onList = () => list(5, []);
    source.current.fail(new TransportError('Connection', 'x'));
    await clock.advance(minute);
    expect(source.calls.slice(0, 5)).to.deep.equal(['list', 'watch 10', 'watch 10', 'list', 'watch 5']);
    await stop();
  });

  it('The reflector ignores an older version after a newer one, and lists again', async () => {
    const { source, changes, errors, stored, clock, start, stop } = bench();
    await start();
    source.current.send('MODIFIED', object('a', 99));
    source.current.send('MODIFIED', object('a', 100));
    source.current.send('MODIFIED', object('b', 98));
    source.current.send('DELETED', object('a', 101));
    await settle();
    expect(changes.slice(2)).to.deep.equal(['modified a 99 was 3', 'modified a 100 was 99']);
    expect(String(errors[0])).to.equal('TransportError: The watch went back from version 100 to 98');
    source.onList = () => list(120, [object('a', 100)]);
    await clock.advance(800);
    expect(source.calls.slice(2)).to.deep.equal(['list', 'watch 120']);
    expect(stored()).to.deep.equal(['a 100']);
    await stop();
  });

  it('The reflector compares versions as integers, beyond the precision of a double', async () => {
    const { source, errors, start, stop } = bench();
    source.onList = () => list(9, []);
    await start();
    source.current.bookmark('10');
    source.current.bookmark('9007199254740993');
    source.current.bookmark('9007199254740992');
    await settle();
    expect(errors).to.have.length(1);
    await stop();
  });

  it('The handlers receive no repeated event, and no deletion of an unknown object', async () => {
    const { source, changes, errors, start, stop } = bench();
    await start();
    source.current.send('MODIFIED', object('a', 11));
    source.current.send('MODIFIED', object('a', 11));
    source.current.send('DELETED', object('b', 12));
    source.current.send('DELETED', object('b', 12));
    source.current.send('DELETED', object('a', 13, 'another'));
    await settle();
    expect(changes.slice(2)).to.deep.equal(['modified a 11 was 3', 'deleted b 12']);
    expect(errors).to.deep.equal([]);
    await stop();
  });

  it('The handlers receive a deletion and an addition for a recreated object', async () => {
    const { source, changes, start, stop } = bench();
    await start();
    source.current.send('ADDED', object('a', 11, 'another'));
    await settle();
    expect(changes.slice(2)).to.deep.equal(['deleted a 3', 'added a 11']);
    await stop();
  });

  it('The reflector aborts a watch that does not end in time, and continues from its version', async () => {
    const { source, reflector, errors, clock, start, stop } = bench();
    await start();
    const { signal } = source.current;
    await clock.advance(20_000);
    source.current.bookmark('20');
    await clock.advance(9_999);
    expect(errors).to.deep.equal([]);
    expect(reflector.connected()).to.equal(true);
    await clock.advance(1);
    expect(String(errors[0])).to.equal('TransportError: The watch did not end after 25 s: its connection is dead');
    expect(reflector.connected()).to.equal(false);
    expect(signal.aborted, 'the connection is closed').to.equal(true);
    await clock.advance(800);
    expect(source.calls.slice(2)).to.deep.equal(['watch 20']);
    await stop();
  });

  it('A watch lasts 20 to 25 s, and the next one begins at once', async () => {
    for (const [random, seconds] of [
      [0, 25],
      [0.999_999, 20],
    ] as const) {
      const { source, clock, start, stop } = bench({ random: () => random });
      // oxlint-disable no-await-in-loop
      await start();
      expect(source.current.timeoutSeconds).to.equal(seconds);
      await clock.advance(seconds * 1000);
      source.current.bookmark('30');
      source.current.end();
      await settle();
      expect(source.calls).to.deep.equal(['list', 'watch 10', 'watch 30']);
      await stop();
      // oxlint-enable no-await-in-loop
    }
  });

  it('The reflector stays connected between two watches for up to 2 s', async () => {
    const { source, reflector, clock, errors, start, stop } = bench();
    await start();
    let open: (() => void) | undefined;
    const watch = source.watch.bind(source);
    source.watch = async (...from) => {
      await new Promise<void>((resolve) => (open = resolve));
      return watch(...from);
    };
    await clock.advance(25_000);
    source.current.end();
    await clock.advance(1_999);
    expect(reflector.connected()).to.equal(true);
    await clock.advance(1);
    expect(reflector.connected()).to.equal(false);
    open?.();
    await settle();
    expect(reflector.connected()).to.equal(true);
    expect(errors).to.deep.equal([]);
    await stop();
  });

  describe('backoff', () => {
    for (const [title, refuse] of [
      ['closes every watch at once', (source: FakeListWatcher<KubeObject>) => (source.onWatch = (w) => w.end())],
      [
        'refuses every watch',
        (source: FakeListWatcher<KubeObject>) =>
          (source.onWatch = () => {
            throw refused(410);
          }),
      ],
      [
        'refuses everything',
        (source: FakeListWatcher<KubeObject>) =>
          (source.onList = () => {
            throw refused(403);
          }),
      ],
    ] as const) {
      it(`The reflector backs off from a server that ${title}`, async () => {
        const { source, clock, start, stop } = bench();
        refuse(source);
        await start();
        await clock.advance(5 * minute);
        const rounds = source.requests.filter(({ what }) => what.startsWith('watch') || title === 'refuses everything');
        const waits = rounds.slice(1).map(({ at }, index) => at - (rounds[index]?.at ?? 0));
        expect(waits.slice(0, 6)).to.deep.equal([800, 1600, 3200, 6400, 12_800, 15_000]);
        expect(Math.max(...waits)).to.equal(15_000);
        await stop();
      });
    }

    it('The reflector sends at most a request per second to a server that closes every watch after a second', async () => {
      const { source, clock, start, stop } = bench();
      source.onWatch = (watch) => void clock.setTimer(() => watch.end(), 1000);
      await start();
      await clock.advance(5 * minute);
      expect(source.requests.length).to.be.within(5, 30);
      await stop();
    });

    it('The reflector lengthens each delay at random, up to 30 s', async () => {
      const { source, clock, start, stop } = bench({ random: () => 1 });
      source.onList = () => {
        throw refused(500);
      };
      await start();
      await clock.advance(10 * minute);
      const waits = source.requests.slice(1).map(({ at }, index) => at - (source.requests[index]?.at ?? 0));
      expect(waits.slice(0, 3)).to.deep.equal([1600, 3200, 6400]);
      expect(Math.max(...waits)).to.equal(30_000);
      await stop();
    });

    it('A watch of 15 s resets the backoff, and a shorter one does not', async () => {
      const { source, clock, start, stop } = bench();
      await start();
      source.current.fail(refused(500));
      await clock.advance(800);
      await clock.advance(14_999);
      source.current.fail(refused(500));
      await clock.advance(1599);
      expect(source.calls).to.have.length(3);
      await clock.advance(1);
      expect(source.calls.slice(3)).to.deep.equal(['list', 'watch 10']);
      await clock.advance(15_000);
      source.current.fail(refused(500));
      await clock.advance(800);
      expect(source.calls.slice(5)).to.deep.equal(['watch 10']);
      await stop();
    });

    for (const [asked, waited] of [
      [5000, 5000],
      [100, 800],
      [3600_000, 60_000],
    ] as const) {
      it(`The reflector waits ${waited} ms for a Retry-After of ${asked} ms`, async () => {
        const { source, clock, start, stop } = bench();
        await start();
        source.current.fail(refused(429, asked));
        await clock.advance(waited - 1);
        expect(source.calls).to.have.length(2);
        await clock.advance(1);
        expect(source.calls).to.have.length(3);
        await stop();
      });
    }
  });

  it('A handler that throws does not affect the other handlers', async () => {
    const { source, reflector, store, changes, errors, start, stop } = bench();
    const failure = new Error('the handler is broken');
    const late: string[] = [];
    store.onChange(() => {
      throw failure;
    });
    store.onChange(({ object: { metadata } }) => void late.push(metadata.name));
    await start();
    source.current.send('ADDED', object('c', 11));
    await settle();
    expect(errors).to.deep.equal([failure, failure, failure]);
    expect(changes).to.have.length(3);
    expect(late).to.deep.equal(['a', 'b', 'c']);
    expect(reflector.connected()).to.equal(true);
    await stop();
  });

  describe('stop', () => {
    it('A reflector that is stopped while it watches sends no request and calls no handler', async () => {
      const { source, changes, errors, clock, stop, start } = bench();
      await start();
      source.current.send('ADDED', object('c', 11));
      await stop();
      expect(clock.pendingTimers).to.equal(0);
      source.current.send('ADDED', object('d', 12));
      await clock.advance(10 * minute);
      expect(changes).to.have.length(2);
      expect(source.calls).to.deep.equal(['list', 'watch 10']);
      expect(source.current.signal.aborted).to.equal(true);
      expect(errors).to.deep.equal([]);
      expect(clock.pendingTimers).to.equal(0);
    });

    it('A reflector that is stopped while it lists stores nothing', async () => {
      const { source, reflector, changes, stopping, clock, start, stop } = bench();
      const onList = source.onList;
      source.onList = () => {
        stopping.abort();
        return onList();
      };
      await start();
      await stop();
      await clock.advance(10 * minute);
      expect(source.calls).to.deep.equal(['list']);
      expect(changes).to.deep.equal([]);
      expect(reflector.hasSynced()).to.equal(false);
    });

    it('A reflector that is stopped during its backoff sends no request', async () => {
      const { source, clock, start, stop } = bench();
      await start();
      source.current.fail(refused(500));
      await clock.advance(400);
      await stop();
      await clock.advance(10 * minute);
      expect(source.calls).to.deep.equal(['list', 'watch 10']);
      expect(clock.pendingTimers).to.equal(0);
    });

    it('A reflector that a handler stops during a list calls no other handler', async () => {
      const { store, source, changes, stopping, start, stop } = bench();
      store.onChange(() => stopping.abort());
      await start();
      await stop();
      expect(changes).to.deep.equal(['added a 3']);
      expect(source.calls).to.deep.equal(['list']);
    });

    it('A reflector that a handler stops during a watch stores no event that arrived with that of the handler', async () => {
      const { store, source, stored, stopping, start, stop } = bench();
      source.watch = async () =>
        (async function* arrivedTogether() {
          yield { type: 'ADDED' as const, object: object('c', 11) };
          yield { type: 'ADDED' as const, object: object('d', 12) };
        })();
      store.onChange(({ object: { metadata } }) => metadata.name === 'c' && stopping.abort());
      await start();
      await stop();
      await settle();
      expect(stored()).to.deep.equal(['a 3', 'b 7', 'c 11']);
    });
  });
});
