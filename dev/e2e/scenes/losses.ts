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
export async function loseServer({ controlPlane }: Cluster, operator: Operator): Promise<void> {
  const before = await operator.document();
  const pods = await operator.pods();
  say('Killing the API server for fifteen seconds.');
  await controlPlane.apiServer.kill();
  for (let second = 0; second < 15; second++) {
    assert.equal(await operator.document(), before);
    await wait(1_000);
  }
  await controlPlane.apiServer.start();
  await until('both Pods are ready', async () => (await operator.pods()).every(isReady));
  const restarts = (list: typeof pods): number[] =>
    list.flatMap(({ status }) => (status.containerStatuses ?? []).map(({ restartCount }) => restartCount));
  assert.deepEqual(restarts(await operator.pods()), restarts(pods), 'no container was restarted');
  assert.equal(await operator.document(), before);
  say('Every answer was the same, and no container had to be restarted.');
}
