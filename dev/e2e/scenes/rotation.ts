import { strict as assert } from 'node:assert';
import type { Cluster } from '../cluster/cluster.ts';
import { say } from '../narrate.ts';
import { until } from '../until.ts';
import type { Operator } from './operator.ts';
import type { Tool } from './tool.ts';

const registration = ['ltiregistration/canvas', '--namespace=gradebook'];

/** A rotation from Git: a changed rotationTrigger. The tool keeps signing throughout. */
export async function rotate(cluster: Cluster, tool: Tool): Promise<void> {
  say('With lower floors now (an accelerated run): rotationTrigger changes, activationDelay 10s, overlap 45s.');
  await trigger(cluster, 'first');
  await rotated(cluster, tool, 2);
}

/** The leader is gone the moment a rotation begins; the other replica brings it to its end. */
export async function rotateWithoutLeader(cluster: Cluster, operator: Operator, tool: Tool): Promise<void> {
  const leader = await operator.leader();
  const pod = (await operator.pods()).find(({ metadata }) => leader.includes(metadata.name));
  assert.ok(pod, `the Lease is held by a Pod of the operator (${leader})`);
  say(`Once more, and the leader (${pod.metadata.name}) is deleted by force and killed at once.`);
  await trigger(cluster, 'second');
  const remove = ['delete', 'pod', pod.metadata.name, '--namespace=lti-key-operator', '--force', '--grace-period=0'];
  // The kubelet would still stop a deleted Pod in order, and the leader would give up its Lease.
  const kills = (pod.status.containerStatuses ?? []).map(({ containerID }) => cluster.killContainer(containerID));
  await Promise.all([...kills, cluster.kubectl(remove)]);
  await until('another replica leads', async () => {
    const now = await operator.leader();
    return now !== '' && !now.includes(pod.metadata.name);
  });
  say(`${await operator.leader()} leads.`);
  await operator.isRolledOut();
  await rotated(cluster, tool, 3);
}

async function trigger(cluster: Cluster, rotationTrigger: string): Promise<void> {
  const spec = { rotateAfter: '1h', activationDelay: '10s', overlap: '45s', rotationTrigger };
  await cluster.kubectl(['patch', ...registration, '--type=merge', '--patch', JSON.stringify({ spec })]);
}

/** Waits until the key of that revision signs, in the tool too, and the one before it is retired. */
async function rotated(cluster: Cluster, tool: Tool, revision: number): Promise<void> {
  const state = async (of: number): Promise<string> =>
    cluster.kubectl(['get', `ltikey/canvas-${of}`, '--namespace=gradebook', '--output=jsonpath={.status.state}']);
  await until(`canvas-${revision} is Active`, async () => (await state(revision)) === 'Active');
  say(`canvas-${revision} is Active, canvas-${revision - 1} is ${await state(revision - 1)}.`);
  await until('the tool signs with it', async () => (await tool.tally()).keyIDs.length === revision);
  say('The kubelet brought it to the tool, which signs with it.');
  await until(`canvas-${revision - 1} is Retired`, async () => (await state(revision - 1)) === 'Retired');
  const { signed, verified, retried } = await tool.check();
  say(
    `canvas-${revision - 1} is Retired. The tool: ${signed} signed, ${verified} verified, ${retried} fetches retried.`,
  );
}
