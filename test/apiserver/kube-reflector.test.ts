import { expect } from 'chai';
import { setTimeout as wait } from 'node:timers/promises';

import { KubeClient } from '../../src/kube/client.ts';
import { listWatcher } from '../../src/kube/informer.ts';
import type { KubeObject } from '../../src/kube/objects.ts';
import { type ListWatcher, Reflector, type ReflectorOptions } from '../../src/kube/reflector.ts';
import { Store } from '../../src/kube/store.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { controlPlane, createNamespace, applyManifest } from '../fixtures/control-plane.ts';
import { SilentProxy } from '../fixtures/silent-proxy.ts';

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

const configMaps = { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps' };
const gadgets = { group: 'reflector.example.org', version: 'v1', kind: 'Gadget', plural: 'gadgets' };
const labelSelector = 'reflected=yes';
const labels = { reflected: 'yes' };

async function eventually(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`Timed out: ${what}`);
    await wait(20);
  }
}

type Options = Pick<ReflectorOptions<ConfigMap>, 'random'> & { readonly source?: ListWatcher<ConfigMap> };

describe('Reflector on a real API server', () => {
  let client: KubeClient;
  let namespace: string;
  let stopping: AbortController;
  const running: Promise<void>[] = [];

  beforeEach(async () => {
    client = KubeClient.load({ kubeconfig: controlPlane().kubeconfig, clock: systemClock });
    namespace = await createNamespace('reflector');
    stopping = new AbortController();
  });
  afterEach(async () => {
    stopping.abort();
    await Promise.all(running.splice(0));
    await client.close();
  });

  function reflect(type = configMaps, options: Options = {}) {
    const changes: string[] = [];
    const errors: unknown[] = [];
    const onError = (error: unknown): void => void errors.push(error);
    const store = new Store<ConfigMap>({}, onError);
    const reflector = new Reflector<ConfigMap>({
      source: listWatcher<ConfigMap>(client, type, { namespace, labelSelector }),
      store,
      clock: systemClock,
      onSynced: () => undefined,
      onWatch: () => undefined,
      onError,
      ...options,
    });
    store.onChange(({ type: change, object }) => void changes.push(`${change} ${object.metadata.name}`));
    running.push(reflector.run(stopping.signal));
    return { reflector, store, changes, errors };
  }

  const make = (name: string): Promise<ConfigMap> =>
    client.create<ConfigMap>(configMaps, { metadata: { namespace, name, labels } });

  it('The reflector lists, and then receives each change', async () => {
    for (const name of ['a', 'b', 'c']) {
      await make(name);
    }
    const { reflector, store, changes } = reflect();
    await eventually('the reflector is connected', () => reflector.connected());
    expect(changes).to.deep.equal(['added a', 'added b', 'added c']);
    const made = await make('d');
    const changed = await client.replace<ConfigMap>(configMaps, { ...made, data: { k: 'v' } });
    await client.delete(configMaps, changed);
    const recreated = await make('d');
    await eventually('the handlers received all changes', () => changes.length >= 7);
    expect(changes.slice(3)).to.deep.equal(['added d', 'modified d', 'deleted d', 'added d']);
    expect(store.get(`${namespace}/d`)).to.deep.equal(recreated);
  });

  it('The handlers receive a deletion and an addition for an object that was recreated during an outage', async () => {
    const old = await make('d');
    const { reflector, store, changes, errors } = reflect();
    await eventually('the reflector is connected', () => reflector.connected());
    await controlPlane().apiServer.kill();
    await eventually('the reflector is disconnected', () => !reflector.connected());
    await controlPlane().apiServer.start();
    await client.delete(configMaps, old);
    const recreated = await make('d');
    await eventually('the reflector is connected again', () => reflector.connected());
    await eventually(
      'the store has the new object',
      () => store.get(`${namespace}/d`)?.metadata.uid === recreated.metadata.uid,
    );
    expect(changes).to.deep.equal(['added d', 'deleted d', 'added d']);
    expect(errors).not.to.deep.equal([]);
  });

  it('The reflector keeps its content during an outage, and continues afterwards', async () => {
    await make('a');
    const { reflector, store, changes } = reflect();
    await eventually('the reflector is connected', () => reflector.connected());
    await controlPlane().apiServer.kill();
    await eventually('the reflector is disconnected', () => !reflector.connected());
    await wait(3000);
    expect([reflector.hasSynced(), store.list().length]).to.deep.equal([true, 1]);
    await controlPlane().apiServer.start();
    await eventually('the reflector is connected again', () => reflector.connected());
    await make('b');
    await eventually('the store has both objects', () => store.list().length === 2);
    expect(changes).to.deep.equal(['added a', 'added b']);
  });

  it('The reflector waits for a type that is not installed yet, or has been removed', async () => {
    const crd = JSON.stringify({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${gadgets.plural}.${gadgets.group}` },
      spec: {
        group: gadgets.group,
        scope: 'Namespaced',
        names: { kind: gadgets.kind, plural: gadgets.plural },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
      },
    });
    const install = async (): Promise<void> => {
      expect((await applyManifest(crd)).stderr).to.equal('');
      const waiting = [
        'wait',
        '--for=condition=Established',
        '--timeout=120s',
        `crd/${gadgets.plural}.${gadgets.group}`,
      ];
      expect((await controlPlane().kubectlRun(waiting)).code).to.equal(0);
    };
    const { reflector, store, changes, errors } = reflect(gadgets, { random: () => 0 });
    await eventually('the reflector reports the missing type', () => errors.length > 0);
    expect(reflector.hasSynced()).to.equal(false);
    await install();
    await eventually('the reflector is connected', () => reflector.connected());
    await client.create(gadgets, {
      apiVersion: `${gadgets.group}/v1`,
      kind: gadgets.kind,
      metadata: { namespace, name: 'g', labels },
    });
    await eventually('the store has the object', () => store.list().length === 1);
    expect(changes).to.deep.equal(['added g']);
    await controlPlane().kubectlRun(['delete', 'crd', `${gadgets.plural}.${gadgets.group}`]);
    await eventually('the reflector is disconnected', () => !reflector.connected());
    expect(reflector.hasSynced()).to.equal(true);
    await install();
    await eventually('the reflector is connected again', () => reflector.connected());
    // the API server deletes the objects of a type before the type
    expect(changes).to.deep.equal(['added g', 'deleted g']);
    await controlPlane().kubectlRun(['delete', 'crd', `${gadgets.plural}.${gadgets.group}`]);
  });

  it('The reflector recovers changes behind a dead connection, without a list', async () => {
    const proxy = await SilentProxy.start(new URL(controlPlane().url));
    const through = KubeClient.load({ kubeconfig: proxy.kubeconfig(controlPlane()), clock: systemClock });
    const lists: string[] = [];
    try {
      const source = listWatcher<ConfigMap>(through, configMaps, { namespace, labelSelector });
      const { reflector, store, errors } = reflect(configMaps, {
        source: { ...source, list: (...page) => (lists.push('list'), source.list(...page)) },
      });
      await eventually('the reflector is connected', () => reflector.connected());
      proxy.silence();
      await make('a');
      await eventually('the store has the object', () => store.list().length === 1);
      expect(errors.map(String).join()).to.match(
        /^TransportError: The watch did not end after 2\d s: its connection is dead$/,
      );
      expect(lists).to.deep.equal(['list']);
    } finally {
      stopping.abort();
      await Promise.all(running.splice(0));
      await through.close();
      await proxy.stop();
    }
  });
});
