import { expect } from 'chai';
import { ApiError, TransportError } from '../../../src/kube/errors.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { Informer, Scope } from '../../../src/kube/informer.ts';
import { FakeClock, settle } from '../../fakes/fake-clock.ts';
import { FakeListWatcher } from '../../fakes/fake-list-watcher.ts';
import { recordingLog } from '../../fakes/recording-log.ts';

function refuse(status: number): () => never {
  return () => {
    throw new ApiError(`refused with ${status}`, { status, reason: 'Forbidden' });
  };
}

describe('Informer', () => {
  let clock: FakeClock;
  let stopping: AbortController;
  let running: Promise<void>;
  let sources: Map<string, FakeListWatcher<KubeObject>>;
  let informer: Informer<KubeObject>;
  let read: (string | undefined)[];
  let log: ReturnType<typeof recordingLog>;

  beforeEach(() => {
    clock = new FakeClock();
    stopping = new AbortController();
    running = Promise.resolve();
    sources = new Map();
    read = [];
    log = recordingLog();
  });
  afterEach(async () => {
    stopping.abort();
    await running;
  });

  function scope(namespace: string): Scope<KubeObject> {
    const source = new FakeListWatcher<KubeObject>(clock);
    source.onList = () => ({
      metadata: { resourceVersion: '5' },
      items: [{ metadata: { namespace, name: 'canvas', uid: namespace, resourceVersion: '3' } }],
    });
    // as the API server ends it
    source.onWatch = (watch) => void clock.setTimer(() => watch.end(), watch.timeoutSeconds * 1000);
    sources.set(namespace, source);
    const indexers = { registration: () => 'team-a/canvas' };
    return new Scope({ resource: 'ltikeys', namespace, source, indexers, clock, log: log.log });
  }

  async function start(): Promise<void> {
    informer = new Informer(['team-a', 'team-b'].map(scope));
    informer.onRead((namespace) => read.push(namespace));
  }

  async function run(): Promise<void> {
    running = informer.run(stopping.signal);
    await settle();
  }

  function state(): Record<string, unknown> {
    return {
      usable: informer.isUsable(),
      whole: informer.connected(),
      unread: informer.unread(),
      failing: informer.scopes.filter((one) => one.isFailing()).map(({ namespace }) => namespace),
    };
  }

  it('The informer is usable and whole when all namespaces have been read, and calls onRead once for each', async () => {
    await start();
    expect(state()).to.deep.equal({ usable: false, whole: false, unread: ['team-a', 'team-b'], failing: [] });
    await run();
    expect(state()).to.deep.equal({ usable: true, whole: true, unread: [], failing: [] });
    expect(read).to.deep.equal(['team-a', 'team-b']);
    expect(informer.get('team-b/canvas')?.metadata.uid).to.equal('team-b');
    expect(informer.get('team-c/canvas')).to.equal(undefined);
    expect([informer.isRead('team-a'), informer.isRead('team-c')]).to.deep.equal([true, false]);
  });

  it('byIndex looks only in the scope of the namespace with which the value begins', async () => {
    await start();
    await run();
    const uids = informer.byIndex('registration', 'team-a/canvas').map(({ metadata }) => metadata.uid);
    expect(uids, 'the object of team-b has the same index value').to.deep.equal(['team-a']);
    expect(informer.byIndex('registration', 'team-c/canvas')).to.deep.equal([]);
  });

  for (const status of [403, 404]) {
    it(`The informer is usable without a namespace that answers ${status}, logs that once, and reads it later`, async () => {
      await start();
      const source = sources.get('team-b')!;
      const { onList } = source;
      source.onList = refuse(status);
      await run();
      await clock.advance(20_000);
      expect(state()).to.deep.equal({ usable: true, whole: false, unread: ['team-b'], failing: ['team-b'] });
      expect(source.requests.length).to.be.greaterThan(2);
      const said = (): readonly string[] =>
        log.lines.filter(({ fields }) => fields.namespace === 'team-b').map(({ message }) => message);
      expect(said()).to.deep.equal(['watch failed; retrying']);
      expect(informer.scopeOf('team-b')!.currentUntil()).to.equal(undefined);
      source.onList = onList;
      await clock.advance(30_000);
      expect(state()).to.include({ usable: true }).and.to.deep.include({ unread: [] });
      expect(informer.scopeOf('team-b')!.isFailing()).to.equal(false);
      expect(read).to.deep.equal(['team-a', 'team-b']);
      expect(said().at(-1)).to.equal('watch restored');
    });
  }

  it('The informer waits 30 s for a namespace without an answer', async () => {
    await start();
    sources.get('team-b')!.onList = () => {
      throw new TransportError('Timeout', 'no answer');
    };
    await run();
    await clock.advance(29_000);
    expect(informer.isUsable()).to.equal(false);
    await clock.advance(1000);
    expect(state()).to.deep.equal({ usable: true, whole: false, unread: ['team-b'], failing: ['team-b'] });
  });

  it('The informer is not usable while no namespace has been read', async () => {
    await start();
    for (const source of sources.values()) source.onList = refuse(403);
    await run();
    await clock.advance(600_000);
    expect(informer.isUsable()).to.equal(false);
  });

  it('The informer keeps the objects of a namespace that is refused later, and reports since when', async () => {
    await start();
    await run();
    const lost = informer.scopeOf('team-b')!;
    expect(lost.currentUntil()).to.deep.equal(clock.now());
    const source = sources.get('team-b')!;
    source.onWatch = refuse(403);
    source.onList = refuse(403);
    await clock.advance(1000);
    source.current.fail(new TransportError('Connection', 'gone'));
    const since = clock.now();
    await settle();
    await clock.advance(20_000);
    expect(state()).to.deep.equal({ usable: true, whole: false, unread: [], failing: ['team-b'] });
    expect(lost.currentUntil()).to.deep.equal(since);
    expect(informer.get('team-b/canvas')).to.not.equal(undefined);
    expect([lost.connected(), informer.scopeOf('team-a')!.connected()]).to.deep.equal([false, true]);
  });
});
