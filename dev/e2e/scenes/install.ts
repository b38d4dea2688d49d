import { strict as assert } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';
import { say } from '../narrate.ts';
import { checkout, images } from '../paths.ts';
import { Operator } from './operator.ts';

const namespace = 'lti-key-operator';

/** The README's way: CRDs, namespace, KEK, `kubectl apply --kustomize deploy`, a sample registration. */
export async function install(cluster: Cluster, folder: string): Promise<Operator> {
  say('Installing the operator as the README says, unchanged but for the name of the image.');
  await cluster.kubectl(['apply', '--kustomize', join(checkout, 'crds')]);
  await cluster.kubectl(['apply', '--filename', join(checkout, 'deploy/namespace.yaml')]);
  const kek = join(folder, 'kek');
  mkdirSync(kek);
  writeFileSync(join(kek, 'k1'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  writeFileSync(join(kek, 'primary'), 'k1');
  const files = ['k1', 'primary'].map((name) => `--from-file=${join(kek, name)}`);
  await cluster.kubectl(['create', 'secret', 'generic', 'lti-key-operator-kek', '--namespace', namespace, ...files]);
  const apply = kustomization(cluster, folder);
  await apply({});
  const operator = new Operator(cluster, (components) => apply({ args: accelerated, components }));
  await operator.isRolledOut();
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
  const samples = join(checkout, 'deploy/samples');
  await cluster.kubectl(['apply', '--filename', join(samples, 'namespace.yaml')]);
  await cluster.kubectl(['label', 'namespace', 'gradebook', 'pod-security.kubernetes.io/enforce=restricted']);
  const applied = performance.now();
  await cluster.kubectl(['apply', '--filename', join(samples, 'canvas.yaml')]);
  await cluster.kubectl([
    'wait',
    '--for=condition=Ready',
    'ltiregistration/canvas',
    '--namespace=gradebook',
    '--timeout=60s',
  ]);
  say(`canvas is Ready ${((performance.now() - applied) / 1000).toFixed(1)} s after kubectl apply began.`);
  await operator.servesTheSameEverywhere();
  return operator;
}

/** So that a rotation takes a minute, not days. The shipped minimums protect caches, and there are none here. */
const accelerated = ['--minimum-overlap=30s', '--minimum-activation-delay=5s'];

interface Overlay {
  /** More arguments of the controller. */
  readonly args?: readonly string[];
  /** Their paths in the repository. */
  readonly components?: readonly string[];
}

/** A user's own kustomization, as deploy/kustomization.yaml describes it; applies it again each time. */
function kustomization(cluster: Cluster, folder: string): (overlay: Overlay) => Promise<void> {
  const overlay = join(folder, 'overlay');
  mkdirSync(overlay);
  const [newName, newTag] = images.operator.split(':');
  const inCheckout = (path: string): string => relative(overlay, join(checkout, path));
  return async ({ args = [], components = [] }) => {
    const patch = args.map((value) => ({ op: 'add', path: '/spec/template/spec/containers/0/args/-', value }));
    const target = { kind: 'Deployment', name: 'lti-key-operator' };
    const content = {
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: [inCheckout('deploy')],
      components: components.map(inCheckout),
      images: [{ name: 'lti-key-operator', newName, newTag }],
      ...(patch.length > 0 && { patches: [{ target, patch: JSON.stringify(patch) }] }),
    };
    writeFileSync(join(overlay, 'kustomization.yaml'), JSON.stringify(content));
    const { code, stderr } = await cluster.controlPlane.kubectlRun(['apply', '--kustomize', overlay]);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /PodSecurity/, 'nothing that Pod Security would refuse');
  };
}
