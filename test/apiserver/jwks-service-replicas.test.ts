import { expect } from 'chai';
import { endpointSlices, jwksServiceName } from '../../src/api/names.ts';
import {
  type EndpointSlice,
  serviceReplicas,
  type ServiceReplicas,
} from '../../src/controller/publication/replica-targets.ts';
import { KubeClient } from '../../src/kube/client.ts';
import type { Informer } from '../../src/kube/informer.ts';
import { createInformer } from '../../src/kube/informer.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { recordingLog } from '../fakes/recording-log.ts';
import { applyManifest, controlPlane, createNamespace } from '../fixtures/control-plane.ts';
import { OneNamespace } from '../fixtures/one-namespace.ts';
import { until } from '../fixtures/operator.ts';

describe('The replicas behind the JWKS Service, with the rights of deploy/', () => {
  let account: OneNamespace;
  let client: KubeClient;
  let stopping: AbortController;
  let running: Promise<void>;
  let slices: Informer<EndpointSlice>;
  let endpoints: ServiceReplicas;
  let changes: number;

  before(async () => {
    account = await OneNamespace.for(await createNamespace('replicas'));
    client = KubeClient.load({ kubeconfig: account.kubeconfig, clock: systemClock });
  });
  after(() => client.close());
  beforeEach(watch);
  afterEach(stop);

  function watch(): void {
    stopping = new AbortController();
    changes = 0;
    slices = createInformer<EndpointSlice>({
      client,
      type: endpointSlices,
      namespaces: [account.namespace],
      labelSelector: `kubernetes.io/service-name=${jwksServiceName}`,
      clock: systemClock,
      log: recordingLog().log,
    });
    endpoints = serviceReplicas(slices, systemClock);
    endpoints.onChange(() => (changes += 1));
    running = slices.run(stopping.signal);
  }

  async function stop(): Promise<void> {
    stopping.abort();
    await running;
  }

  async function put(...addresses: readonly string[]): Promise<void> {
    const { code, stderr } = await applyManifest(
      JSON.stringify({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: 'replicas',
          namespace: account.namespace,
          labels: { 'kubernetes.io/service-name': jwksServiceName },
        },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 8080 }],
        endpoints: addresses.map((address) => ({ addresses: [address] })),
      }),
    );
    expect(code, stderr).to.equal(0);
  }

  function untilKnown(...addresses: readonly string[]): Promise<unknown> {
    const urls = addresses.map((address) => `http://${address}:8080`);
    return until(async () => (await endpoints.targets())?.join() === urls.join(), `they are ${urls.join()}`);
  }

  it('EndpointTargets reports each change of replicas, including the last one and the end of the Service', async () => {
    await untilKnown();
    await put('10.0.0.1', '10.0.0.2');
    await untilKnown('10.0.0.1', '10.0.0.2');
    await until(() => changes === 1, 'the first replicas are reported');
    await put();
    await until(() => changes === 2, 'that there is none any more is reported');
    await put('10.0.0.1');
    await until(() => changes === 3, 'the next one is reported');
    const args = ['delete', 'endpointslice', 'replicas', `--namespace=${account.namespace}`];
    expect((await controlPlane().kubectlRun(args)).code).to.equal(0);
    await until(() => changes === 4, 'the end is reported');
    await untilKnown();
  });

  it('EndpointTargets returns no replicas while their watch is refused', async () => {
    await put('10.0.0.1');
    await untilKnown('10.0.0.1');
    await account.withholdCanaries();
    await until(async () => {
      await stop();
      watch();
      await until(() => slices.connected() || slices.scopes.some((scope) => scope.isFailing()), 'there is an answer');
      return !slices.connected();
    }, 'the right is gone');
    expect(await endpoints.targets()).to.equal(undefined);
    await put('10.0.0.1', '10.0.0.2');
    expect(await endpoints.targets()).to.equal(undefined);
    await account.grantCanaries();
    await untilKnown('10.0.0.1', '10.0.0.2');
  });
});
