import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';
import { say } from '../narrate.ts';
import { checkout } from '../paths.ts';
import type { CreateKek } from './kek.ts';
import { KustomizedOperator } from './kustomization.ts';
import { registrationNamespace } from './operator.ts';

/** The README's way: CRDs, namespace, KEK, `kubectl apply --kustomize deploy`, a sample registration. */
export async function install(cluster: Cluster, folder: string, createKek: CreateKek): Promise<KustomizedOperator> {
  say('Installing the operator as the README says, unchanged but for the name of the image.');
  await cluster.kubectl(['apply', '--kustomize', join(checkout, 'crds')]);
  await cluster.kubectl(['apply', '--filename', join(checkout, 'deploy/namespace.yaml')]);
  await createKek('lti-key-operator');
  const operator = new KustomizedOperator(cluster, folder);
  await operator.install();
  const pods = await operator.pods();
  assert.deepEqual(
    pods.map(({ status }) => status.containerStatuses?.map(({ restartCount }) => restartCount)),
    [
      [0, 0],
      [0, 0],
    ],
    'two Pods of two containers run, and none had to be restarted',
  );
  say('Two replicas are ready. Applying the Canvas sample, with the default floors.');
  await applySample(cluster, operator.registration);
  await operator.servesTheSameEverywhere();
  return operator;
}

/** The registration of that name in deploy/samples, and its namespace under the Pod Security Standard `restricted`. */
export async function applySample(cluster: Cluster, registration: string): Promise<void> {
  const samples = join(checkout, 'deploy/samples');
  await cluster.kubectl(['apply', '--filename', join(samples, 'namespace.yaml')]);
  const enforce = 'pod-security.kubernetes.io/enforce=restricted';
  await cluster.kubectl(['label', 'namespace', registrationNamespace, enforce, '--overwrite']);
  const applied = performance.now();
  await cluster.kubectl(['apply', '--filename', join(samples, `${registration}.yaml`)]);
  await cluster.kubectl([
    'wait',
    '--for=condition=Ready',
    `ltiregistration/${registration}`,
    `--namespace=${registrationNamespace}`,
    '--timeout=60s',
  ]);
  say(`${registration} is Ready ${((performance.now() - applied) / 1000).toFixed(1)} s after kubectl apply began.`);
}
