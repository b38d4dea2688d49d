import { strict as assert } from 'node:assert';
import type { Cluster } from '../cluster/cluster.ts';
import { say } from '../narrate.ts';
import { until } from '../until.ts';
import { underLoad } from './load.ts';
import type { KustomizedOperator } from './kustomization.ts';
import { containerOf, fetchDocument, isReady, type Operator, type Pod } from './operator.ts';

const publisher = 'deploy/publisher';
const alone = 'deploy/publisher/alone';

/**
 * The limit of two containers in one Pod: while the kubelet holds a crashing controller back, the Pod is not ready, and
 * the Service leaves out a sidecar that serves on. See docs/design/0004-crashing-controllers.md.
 */
export async function crashControllers(cluster: Cluster, operator: Operator): Promise<void> {
  const [first, second] = await operator.pods();
  assert.ok(first && second);
  const [url, isUnchanged] = await served(operator);
  await underLoad(url, isUnchanged, 'while the controller of one Pod crashed', async () => {
    await crashLoop(cluster, operator, [first], 1);
    await sidecarsServe(operator, [first]);
    await operator.hasReadyEndpoints(2);
  });
  await crashLoop(cluster, operator, [first, second], 0);
  await sidecarsServe(operator, [first, second]);
  say('With both controllers crashing, the Service has no endpoint, although both sidecars serve on.');
  await operator.hasReadyEndpoints(2);
}

/** deploy/publisher and back: the Service answers throughout, and crashing controllers do not take the documents away. */
export async function moveToPublishers(cluster: Cluster, operator: KustomizedOperator): Promise<void> {
  const [url, isUnchanged] = await served(operator);
  await underLoad(url, isUnchanged, 'while publishers came, served alone and with the operator, and left', async () => {
    await operator.with([publisher], 5);
    await operator.with([publisher, alone], 3);
    await operator.with([publisher], 5);
    say('Three publishers serve beside the operator. Now both controllers crash.');
    const pods = await operator.pods();
    await crashLoop(cluster, operator, pods, 3);
    await sidecarsServe(operator, pods);
    await operator.hasReadyEndpoints(5);
    await operator.with([], 2);
    await cluster.kubectl(['delete', 'deployment/lti-key-publisher', '--namespace=lti-key-operator']);
    await cluster.kubectl([
      'wait',
      'pods',
      '--for=delete',
      '--selector=app.kubernetes.io/name=lti-key-publisher',
      '--namespace=lti-key-operator',
      '--timeout=60s',
    ]);
  });
  assert.ok((await operator.pods()).every(isReady));
}

async function served(operator: Operator): Promise<[url: string, isUnchanged: (body: string) => boolean]> {
  const document = await operator.document();
  return [await operator.url(), (body) => body === document];
}

/**
 * Kills the controllers of these Pods until the kubelet waits with the next start of each, and the Service has so many ready
 * endpoints left. The first waits are short, so one that came back meanwhile is killed again.
 */
async function crashLoop(cluster: Cluster, operator: Operator, pods: readonly Pod[], endpoints: number): Promise<void> {
  const killed = new Set<string>();
  await until(`the controllers are in CrashLoopBackOff and the Service has ${endpoints} ready endpoints`, async () => {
    const now = (await operator.pods()).filter(({ metadata }) =>
      pods.some((pod) => pod.metadata.name === metadata.name),
    );
    const controllers = now.map((pod) => containerOf(pod, 'controller'));
    for (const { state, containerID } of controllers) {
      if (state.running === undefined || killed.has(containerID)) continue;
      await cluster.killContainer(containerID);
      killed.add(containerID);
    }
    const wait = controllers.every(({ state }) => state.waiting?.reason === 'CrashLoopBackOff');
    return wait && (await operator.readyEndpoints()) === endpoints;
  });
}

async function sidecarsServe(operator: Operator, pods: readonly Pod[]): Promise<void> {
  const { pathname } = new URL(await operator.url());
  for (const { status } of pods) await fetchDocument(`http://${status.podIP}:8080${pathname}`);
}
