import { strict as assert } from 'node:assert';
import { setTimeout as wait } from 'node:timers/promises';
import type { Cluster } from '../cluster/cluster.ts';
import { say } from '../narrate.ts';
import { until } from '../until.ts';
import { containerOf, fetchDocument, isReady, type Operator } from './operator.ts';
import type { Tool } from './tool.ts';

/** Kills the process of each container of one Pod in turn; the kubelet brings it back with the same keys. */
export async function loseContainers(cluster: Cluster, operator: Operator, tool: Tool): Promise<void> {
  const before = await operator.document();
  const leader = await operator.leader();
  for (const name of ['controller', 'jwks']) {
    const [pod] = (await operator.pods()).filter(({ metadata }) => leader.includes(metadata.name));
    assert.ok(pod?.status.podIP, 'the leader has an address');
    const container = containerOf(pod, name);
    say(`Killing the container ${name} of ${pod.metadata.name}.`);
    await cluster.killContainer(container.containerID);
    await until(`${name} was restarted and its Pod is ready`, async () => {
      const now = (await operator.pods()).find(({ metadata }) => metadata.name === pod.metadata.name);
      if (name === 'controller') {
        const { body } = await fetchDocument(
          `http://${pod.status.podIP}:8080${new URL(await operator.url()).pathname}`,
        );
        assert.equal(body, before, 'the sidecar serves on');
      }
      return now !== undefined && containerOf(now, name).restartCount > container.restartCount && isReady(now);
    });
    await operator.servesTheSameEverywhere();
    assert.equal(await operator.document(), before);
  }
  const { verified, retried } = await tool.check();
  say(`Both came back with the same document. The tool: ${verified} verified, ${retried} fetches retried.`);
}

/** The Service keeps serving without an API server, and nothing is lost when that is back. */
export async function loseServer(cluster: Cluster, operator: Operator): Promise<void> {
  const { apiServer } = cluster.controlPlane;
  const before = await operator.document();
  const pods = await operator.pods();
  say('Killing the API server for fifteen seconds.');
  await apiServer.kill();
  for (let second = 0; second < 15; second++) {
    assert.equal(await operator.document(), before);
    await wait(1_000);
  }
  await apiServer.start();
  await until('both Pods are ready', async () => (await operator.pods()).every(isReady));
  const restarts = (list: typeof pods): number[] =>
    list.flatMap(({ status }) => (status.containerStatuses ?? []).map(({ restartCount }) => restartCount));
  assert.deepEqual(restarts(await operator.pods()), restarts(pods), 'no container was restarted');
  assert.equal(await operator.document(), before);
  say('Every answer was the same, and no container had to be restarted.');
  await kubernetesFollowsAgain(cluster, operator);
}

interface Service {
  readonly spec: { readonly clusterIP: string; readonly selector: object; readonly ports: readonly ServicePort[] };
}

interface ServicePort {
  readonly port: number;
  readonly targetPort: number | string;
}

/**
 * Waits until a new Service reaches the Pods. kube-proxy and the controllers of Kubernetes need up to half a minute until they watch
 * again after an outage, and until then, each Service keeps the Pods that it had, whether they have ended or not.
 */
async function kubernetesFollowsAgain(cluster: Cluster, { namespace }: Operator): Promise<void> {
  const inNamespace = `--namespace=${namespace}`;
  const { spec } = await cluster.get<Service>('service/lti-key-operator-jwks', inNamespace);
  const ports = spec.ports.map(({ port, targetPort }) => ({ port, targetPort, name: `port-${port}` }));
  const metadata = { name: 'after-outage', namespace };
  await cluster.apply({ apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: spec.selector, ports } });
  const { clusterIP } = (await cluster.get<Service>('service/after-outage', inNamespace)).spec;
  // Any answer comes from one of the Pods.
  await until('a new Service reaches the Pods', async () => {
    const { status } = await fetch(`http://${clusterIP}/`, { signal: AbortSignal.timeout(1_000) });
    return status === 404;
  });
  await cluster.kubectl(['delete', 'service/after-outage', inNamespace]);
}
