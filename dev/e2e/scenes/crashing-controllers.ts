import { strict as assert } from 'node:assert';
import type { Cluster } from '../cluster/cluster.ts';
import { say } from '../narrate.ts';
import { until } from '../until.ts';
import { load } from './load.ts';
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
  await underLoad(operator, 'while the controller of one Pod crashed', async () => {
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
export async function moveToPublishers(cluster: Cluster, operator: Operator): Promise<void> {
  await underLoad(operator, 'while publishers came, served alone and with the operator, and left', async () => {
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

/** Not one request over a new connection to the Service may fail meanwhile. */
async function underLoad(operator: Operator, when: string, act: () => Promise<void>): Promise<void> {
  let done = false;
  const acting = async (): Promise<void> => {
    try {
      await act();
    } finally {
      done = true;
    }
  };
  const [url, document] = [await operator.url(), await operator.document()];
  const [{ requests, failures }] = await Promise.all([load(url, document, () => done, 'new connections'), acting()]);
  assert.deepEqual([...failures], [], `no request fails ${when}`);
  say(`0 failed of ${requests} new connections to the Service ${when}.`);
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
