import { strict as assert } from 'node:assert';
import type { Cluster } from '../cluster/cluster.ts';
import { say } from '../narrate.ts';
import { until } from '../until.ts';
import { type Operator, registrationNamespace } from './operator.ts';
import type { Tool } from './tool.ts';

const inNamespace = `--namespace=${registrationNamespace}`;

/** The leader is gone the moment a rotation begins; the other replica brings it to its end. */
export async function rotateWithoutLeader(cluster: Cluster, operator: Operator, tool: Tool): Promise<void> {
  const leader = await operator.leader();
  const pod = (await operator.pods()).find(({ metadata }) => leader.includes(metadata.name));
  assert.ok(pod, `the Lease is held by a Pod of the operator (${leader})`);
  say(`A rotation begins, and the leader (${pod.metadata.name}) is deleted by force and killed at once.`);
  await trigger(cluster, operator);
  const remove = [
    'delete',
    'pod',
    pod.metadata.name,
    `--namespace=${operator.namespace}`,
    '--force',
    '--grace-period=0',
  ];
  // The kubelet would still stop a deleted Pod in order, and the leader would give up its Lease.
  const kills = (pod.status.containerStatuses ?? []).map(({ containerID }) => cluster.killContainer(containerID));
  await Promise.all([...kills, cluster.kubectl(remove)]);
  await until('another replica leads', async () => {
    const now = await operator.leader();
    return now !== '' && !now.includes(pod.metadata.name);
  });
  say(`${await operator.leader()} leads.`);
  await operator.isRolledOut();
  await rotated(cluster, operator, tool);
}

/** A rotation from Git: a changed rotationTrigger. An accelerated run needs lower floors of the operator. */
export async function trigger(cluster: Cluster, { registration }: Operator): Promise<void> {
  const spec = { rotateAfter: '1h', activationDelay: '10s', overlap: '45s', rotationTrigger: 'now' };
  const patch = ['--type=merge', '--patch', JSON.stringify({ spec })];
  await cluster.kubectl(['patch', 'ltiregistration', registration, inNamespace, ...patch]);
}

export async function stateOf(cluster: Cluster, key: string): Promise<string> {
  return cluster.kubectl(['get', 'ltikey', key, inNamespace, '--output=jsonpath={.status.state}']);
}

/** Waits until the second key signs, in the tool too, and the first one is retired. The tool keeps signing throughout. */
export async function rotated(cluster: Cluster, { registration }: Operator, tool: Tool): Promise<void> {
  const [first, second] = [`${registration}-1`, `${registration}-2`];
  await until(`${second} is Active`, async () => (await stateOf(cluster, second)) === 'Active');
  say(`${second} is Active, ${first} is ${await stateOf(cluster, first)}.`);
  await until('the tool signs with it', async () => (await tool.tally()).keyIDs.length === 2);
  say('The kubelet brought it to the tool, which signs with it.');
  await until(`${first} is Retired`, async () => (await stateOf(cluster, first)) === 'Retired');
  const { signed, verified, retried } = await tool.check();
  say(`${first} is Retired. The tool: ${signed} signed, ${verified} verified, ${retried} fetches retried.`);
}
