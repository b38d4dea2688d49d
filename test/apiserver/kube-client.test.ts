import { expect } from 'chai';
import { KubeConfig } from '@kubernetes/client-node';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';

import { secrets } from '../../src/api/names.ts';
import { refusalText } from '../../src/controller/failed-requests.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { Credentials } from '../../src/kube/credentials.ts';
import { ApiError, isAlreadyExists, isConflict, isObjectNotFound } from '../../src/kube/errors.ts';
import type { KubeObject, Secret } from '../../src/kube/objects.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

const configMaps = { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps' };

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('The call succeeded'),
    (error: unknown) => error,
  );
}

describe('KubeClient on a real API server', () => {
  let client: KubeClient;
  let namespace: string;
  before(async () => {
    client = KubeClient.load({ kubeconfig: controlPlane().kubeconfig, clock: systemClock });
    namespace = await createNamespace('client');
  });
  after(() => client.close());

  function create(name: string, data: Record<string, string> = {}): Promise<ConfigMap> {
    return client.create<ConfigMap>(configMaps, { metadata: { namespace, name }, data });
  }

  it('The client creates, reads, replaces and deletes an object', async () => {
    const created = await create('crud', { color: 'red' });
    expect(created.metadata).to.include.keys('uid', 'resourceVersion').and.not.to.include.keys('managedFields');
    const read = await client.get<ConfigMap>(configMaps, namespace, 'crud');
    expect(read).to.deep.equal(created);
    const replaced = await client.replace<ConfigMap>(configMaps, { ...read, data: { color: 'blue' } });
    expect(replaced.data).to.deep.equal({ color: 'blue' });
    await client.delete(configMaps, replaced);
    expect(isObjectNotFound(await failure(client.get(configMaps, namespace, 'crud')))).to.equal(true);
  });

  it('A replacement without managedFields keeps those of the server', async () => {
    const created = await create('managed', { color: 'red' });
    await client.replace<ConfigMap>(configMaps, { ...created, data: { color: 'blue' } });
    const { stdout } = await controlPlane().kubectlRun([
      'get',
      'configmap',
      'managed',
      `--namespace=${namespace}`,
      '--output=jsonpath={.metadata.managedFields[*].manager}',
    ]);
    expect(stdout).to.equal('lti-key-operator');
  });

  it('replace rejects with a conflict if the object has changed since', async () => {
    const first = await create('cas');
    await client.replace<ConfigMap>(configMaps, { ...first, data: { writer: 'other' } });
    const error = await failure(client.replace<ConfigMap>(configMaps, { ...first, data: { writer: 'late' } }));
    expect(isConflict(error)).to.equal(true);
    expect(isAlreadyExists(error)).to.equal(false);
    expect((await client.get<ConfigMap>(configMaps, namespace, 'cas')).data).to.deep.equal({ writer: 'other' });
  });

  it('create rejects if the object exists', async () => {
    await create('twice');
    const error = await failure(create('twice'));
    expect(isAlreadyExists(error)).to.equal(true);
    expect(isConflict(error)).to.equal(false);
    expect(error).to.have.property(
      'message',
      `create configmaps ${namespace}/twice: 409 AlreadyExists: configmaps "twice" already exists`,
    );
  });

  it('delete rejects with a conflict if the object has changed or been recreated since', async () => {
    const first = await create('victim');
    const second = await client.replace<ConfigMap>(configMaps, { ...first, data: { changed: 'yes' } });
    expect(isConflict(await failure(client.delete(configMaps, first)))).to.equal(true);
    await client.delete(configMaps, second);
    const recreated = await create('victim');
    const { resourceVersion } = recreated.metadata;
    const sameVersion = {
      metadata: { ...first.metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
    };
    expect(isConflict(await failure(client.delete(configMaps, sameVersion)))).to.equal(true);
    expect(await client.get(configMaps, namespace, 'victim')).to.deep.equal(recreated);
  });

  it('The errors distinguish a missing object, a missing type and a missing namespace', async () => {
    const noGroup = { group: 'nowhere.example', version: 'v1', kind: 'Thing', plural: 'things' };
    const noVersion = { group: 'apps', version: 'v9', kind: 'Deployment', plural: 'deployments' };
    const noPlural = { group: '', version: 'v1', kind: 'Thing', plural: 'things' };
    expect(await verdict(client.get(configMaps, namespace, 'absent'))).to.equal('object');
    expect(await verdict(client.get(configMaps, 'no-such-namespace', 'absent'))).to.equal('object');
    for (const type of [noGroup, noVersion, noPlural]) {
      // oxlint-disable no-await-in-loop
      expect(await verdict(client.get(type, namespace, 'absent'))).to.equal('type');
      expect(await verdict(client.list(type))).to.equal('type');
      // oxlint-enable no-await-in-loop
    }
    const homeless = { metadata: { namespace: 'no-such-namespace', name: 'a' } };
    expect(await verdict(client.create(configMaps, homeless))).to.equal('neither');
  });

  it('list returns every page, by label and by field', async () => {
    const own = await createNamespace('pages');
    for (const name of ['p1', 'p2', 'p3', 'p4', 'p5']) {
      const labels = { odd: String(Number(name[1]) % 2 === 1) };
      await client.create(configMaps, { metadata: { namespace: own, name, labels } });
    }
    const names = async (options: Parameters<KubeClient['list']>[1]): Promise<string[]> => {
      const { items } = await client.list(configMaps, { namespace: own, ...options });
      return items.map((item) => item.metadata.name).filter((name) => name.startsWith('p'));
    };
    expect(await names({ limit: 2 })).to.deep.equal(['p1', 'p2', 'p3', 'p4', 'p5']);
    expect(await names({ limit: 1, labelSelector: 'odd=true' })).to.deep.equal(['p1', 'p3', 'p5']);
    expect(await names({ fieldSelector: 'metadata.name=p4' })).to.deep.equal(['p4']);
  });

  it('list adds apiVersion and kind to its items', async () => {
    await create('typed');
    const { items } = await client.list(configMaps, { namespace });
    expect(items.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`)).to.include('v1 ConfigMap');
  });

  it('The error of a refused Secret contains no value', async () => {
    const secret: Secret = {
      metadata: { namespace, name: 'Bad Name', labels: { 'bad label': 'x' } },
      data: { key: 'bm90IQ==' },
    };
    const error = await failure(client.create(secrets, secret));
    expect(error).to.have.property('message').that.contains('Bad Name: 422 Invalid: ').and.contains('bad label');
    expect(error).to.have.property('message').that.does.not.contain('bm90');
    const unreadable = await failure(client.create(secrets, { ...secret, data: { key: 'hunter2!' } }));
    expect(unreadable).to.have.property('message').that.contains('Bad Name: 400 BadRequest: ');
    expect(unreadable).to.have.property('message').that.does.not.contain('hunter');
  });

  it('refusalText reports an immutable Secret, and an exceeded quota', async () => {
    const own = await createNamespace('refusals');
    const secret = (name: string): Secret => ({ metadata: { namespace: own, name }, data: { key: 'bm90IQ==' } });
    const fixed = await client.create<Secret>(secrets, { ...secret('fixed'), immutable: true });
    const changed = await failure(client.replace<Secret>(secrets, { ...fixed, data: { key: 'b3RoZXI=' } }));
    expect(changed).to.be.instanceOf(ApiError);
    expect(refusalText(changed as ApiError)).to.equal(
      '422 Invalid: data: Forbidden: field is immutable when `immutable` is set',
    );
    const quotas = { group: '', version: 'v1', kind: 'ResourceQuota', plural: 'resourcequotas' };
    const hard = { 'count/secrets': '1' };
    const quota = await client.create(quotas, {
      metadata: { namespace: own, name: 'q' },
      spec: { hard },
    } as KubeObject);
    // as the controller manager would
    await client.replaceStatus(quotas, { ...quota, status: { hard, used: hard } } as KubeObject);
    let refused: unknown;
    // the quota takes effect a moment after its creation
    for (let index = 0; refused === undefined && index < 1000; index++) {
      await setTimeout(50);
      refused = await client.create(secrets, secret(`s-${index}`)).then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    expect(refused).to.be.instanceOf(ApiError);
    expect(refusalText(refused as ApiError)).to.match(/^403 Forbidden: exceeded quota: q, requested: count\/secrets=1/);
  });

  describe('a Secret that a policy refuses', () => {
    const omitted = (how: string): string => `the server's message is omitted, because it ${how} a value of the Secret`;
    for (const { title, quote, says } of [
      {
        title: 'The error has the message of the policy',
        quote: `'no owner, no Secret'`,
        says: /denied request: no owner, no Secret$/,
      },
      {
        title: 'The error omits a message that quotes the written Secret',
        quote: `'the key is ' + string(object.data.key)`,
        says: omitted('repeats'),
      },
      {
        title: 'The error omits a message that quotes the stored Secret',
        quote: `'the key was ' + string(oldObject.data.key)`,
        says: omitted('may repeat'),
      },
    ]) {
      it(title, async () => {
        const own = await createNamespace('policy');
        const metadata = { namespace: own, name: 's' };
        let secret = await client.create<Secret>(secrets, {
          metadata,
          data: { key: randomBytes(60).toString('base64') },
        });
        await refuseChanges(own, quote);
        // the policy takes effect a moment after its creation
        for (let refused = false; !refused;) {
          await setTimeout(50);
          const labels = { at: performance.now().toFixed(0) };
          const written = client.replace<Secret>(secrets, { ...secret, metadata: { ...secret.metadata, labels } });
          refused = await written.then(
            (newest) => ((secret = newest), false),
            () => true,
          );
        }
        const data = { key: randomBytes(60).toString('base64') };
        const error = await failure(client.replace<Secret>(secrets, { ...secret, data }));
        expect(error).to.be.instanceOf(ApiError);
        const { serverMessage } = error as ApiError;
        if (typeof says === 'string')
          expect(serverMessage === says, 'the reason instead of the message').to.equal(true);
        else expect(serverMessage).to.match(says);
      });
    }

    async function refuseChanges(own: string, messageExpression: string): Promise<void> {
      const admission = { group: 'admissionregistration.k8s.io', version: 'v1' };
      const kind = 'ValidatingAdmissionPolicy';
      const rule = { apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['secrets'] };
      const policy = {
        metadata: { name: own },
        spec: {
          matchConstraints: {
            resourceRules: [rule],
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': own } },
          },
          validations: [{ expression: 'false', messageExpression }],
        },
      };
      const binding = { metadata: { name: own }, spec: { policyName: own, validationActions: ['Deny'] } };
      await client.create({ ...admission, kind, plural: 'validatingadmissionpolicies' }, policy);
      await client.create(
        { ...admission, kind: `${kind}Binding`, plural: 'validatingadmissionpolicybindings' },
        binding,
      );
    }
  });

  it('The error of a forbidden request names the user', async () => {
    await controlPlane().kubectlRun(['create', 'serviceaccount', 'powerless', '-n', namespace]);
    const kubeconfig = await controlPlane().serviceAccountKubeconfig(namespace, 'powerless');
    const powerless = KubeClient.load({ kubeconfig, clock: systemClock });
    expect(powerless.namespace).to.equal(namespace);
    const error = await failure(powerless.get(configMaps, namespace, 'x'));
    expect(error)
      .to.be.instanceOf(ApiError)
      .with.property('message')
      .that.contains(`get configmaps ${namespace}/x: 403 Forbidden`)
      .and.contains(`system:serviceaccount:${namespace}:powerless`);
    await powerless.close();
  });

  it('clockSkew is small for a server on the same machine', async () => {
    await client.list(configMaps, { namespace });
    expect(Math.abs(client.clockSkew() ?? Number.NaN)).to.be.below(2000);
  });

  it('The client reuses its TLS connections', async () => {
    await create('popular');
    const counter = await ConnectionCounter.start(new URL(controlPlane().url));
    const config = new KubeConfig();
    config.loadFromFile(controlPlane().kubeconfig);
    config.clusters = config.clusters.map((cluster) => ({ ...cluster, server: counter.url }));
    const credentials = new Credentials(() => config);
    const through = new KubeClient({ credentials, clock: systemClock, userAgent: 'test' });
    try {
      for (let call = 0; call < 50; call++) await through.get(configMaps, namespace, 'popular');
      expect(counter.connections).to.be.within(1, 3);
    } finally {
      await through.close();
      await counter.stop();
    }
  });
});

/** What is missing according to a 404. */
async function verdict(promise: Promise<unknown>): Promise<string> {
  const error = await failure(promise);
  expect(error).to.be.instanceOf(ApiError).with.property('status', 404);
  if (isObjectNotFound(error)) return 'object';
  return error instanceof ApiError && error.missing === 'resource type' ? 'type' : 'neither';
}

/** Forwards TCP to the API server and counts connections. */
class ConnectionCounter {
  readonly #sockets: Socket[] = [];
  readonly #server: Server;

  private constructor(target: URL) {
    this.#server = createServer((incoming) => {
      const outgoing = connect(Number(target.port), target.hostname);
      this.#sockets.push(incoming);
      incoming.pipe(outgoing).pipe(incoming);
      incoming.on('error', () => outgoing.destroy());
      outgoing.on('error', () => incoming.destroy());
    });
  }

  static async start(target: URL): Promise<ConnectionCounter> {
    const counter = new ConnectionCounter(target);
    counter.#server.listen(0, '127.0.0.1');
    await once(counter.#server, 'listening');
    return counter;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('The server does not listen');
    return `https://127.0.0.1:${address.port}`;
  }

  get connections(): number {
    return this.#sockets.length;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
