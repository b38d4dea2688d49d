import { strict as assert } from 'node:assert';
import type { Cluster } from '../cluster/cluster.ts';
import { say } from '../narrate.ts';
import { load } from './load.ts';
import type { Operator } from './operator.ts';

const leastRequests = 100_000;

/** Both replicas are replaced while platforms fetch through the Service; not one request may fail. */
export async function rollUnderLoad(cluster: Cluster, operator: Operator): Promise<void> {
  say('A rolling restart of both replicas under load through the Service.');
  const before = (await operator.pods()).map(({ metadata }) => metadata.name);
  let rolledOut = false;
  const rollOut = async (): Promise<void> => {
    try {
      await cluster.kubectl(['rollout', 'restart', 'deployment/lti-key-operator', '--namespace=lti-key-operator']);
      await operator.isRolledOut();
    } finally {
      rolledOut = true;
    }
  };
  const document = await operator.document();
  const [result] = await Promise.all([
    load(
      await operator.url(),
      (body) => body === document,
      (requests) => rolledOut && requests >= leastRequests,
    ),
    rollOut(),
  ]);
  const failed = [...result.failures.values()].reduce((sum, count) => sum + count, 0);
  const rate = Math.round(result.requests / result.seconds);
  say(`${failed} failed of ${result.requests} requests (${rate} a second, p99 ${result.p99Ms.toFixed(1)} ms).`);
  assert.deepEqual([...result.failures], [], 'no request fails');
  const after = (await operator.pods()).map(({ metadata }) => metadata.name);
  assert.ok(!after.some((name) => before.includes(name)), 'every Pod was replaced');
}
