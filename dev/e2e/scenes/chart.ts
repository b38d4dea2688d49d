import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';
import { Helm } from '../helm.ts';
import { say } from '../narrate.ts';
import { checkout, images } from '../paths.ts';
import { until } from '../until.ts';
import { applySample } from './install.ts';
import type { CreateKek } from './kek.ts';
import { underLoad } from './load.ts';
import { fetchDocument, loweredFloors, Operator, registrationNamespace } from './operator.ts';
import { rotated, stateOf, trigger } from './rotation.ts';
import { startTool } from './tool.ts';

const release = 'keys';
const namespace = 'keys-system';
const registration = 'moodle';
const chart = join(checkout, 'deploy/charts/lti-key-operator');
const deliverySecret = [`secret/${registration}-signing-key`, `--namespace=${registrationNamespace}`];
const [repository, tag] = images.operator.split(':');
const values = { image: { repository, tag }, controller: { extraArgs: loweredFloors } };
/** Each of these replaces every Pod. */
const changedValues = {
  ...values,
  replicas: 3,
  podAnnotations: { 'example.org/changed': 'yes' },
  controller: { ...values.controller, maxOldSpaceSize: 400, resources: { limits: { memory: '600Mi' } } },
};

/** What the chart left in the cluster when it was uninstalled. */
export interface LeftByChart {
  /** The document of the registration, as it was served last. */
  readonly document: string;
  readonly deliveredKey: string;
}

/** The whole life of a release: install, test, upgrade in the middle of a rotation, uninstall. */
export async function liveWithChart(cluster: Cluster, folder: string, createKek: CreateKek): Promise<LeftByChart> {
  const home = join(folder, 'helm');
  mkdirSync(home);
  const helm = new Helm(cluster.controlPlane.kubeconfig, home, namespace);
  const operator = await installChart(cluster, helm, createKek);
  await upgradeDuringRotation(cluster, helm, operator);
  const document = await operator.document();
  await uninstallChart(cluster, helm);
  const deliveredKey = await digestOfDeliveredKey(cluster);
  await cluster.kubectl(['delete', ...deliverySecret]);
  return { document, deliveredKey };
}

async function installChart(cluster: Cluster, helm: Helm, createKek: CreateKek): Promise<Operator> {
  say(`Installing the chart with Helm into the namespace ${namespace}, under Pod Security restricted.`);
  const podSecurity = ['enforce', 'warn'].map((mode) => [`pod-security.kubernetes.io/${mode}`, 'restricted']);
  const metadata = { name: namespace, labels: Object.fromEntries(podSecurity) };
  await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata });
  await createKek(namespace);
  const { stderr } = await helm.apply('install', release, chart, values);
  assert.doesNotMatch(stderr, /PodSecurity/, 'nothing that Pod Security would refuse');
  const operator = new Operator(cluster, { namespace, registration });
  await operator.isRolledOut();

  await cluster.nameService('lti-key-operator-jwks', namespace);
  const { stdout } = await helm.run('test', release, '--timeout=60s');
  assert.match(stdout, /^Phase: +Succeeded$/m);
  say('Two replicas are ready, and helm test succeeded. Applying the Moodle sample.');
  await applySample(cluster, registration);
  await operator.servesTheSameEverywhere();
  return operator;
}

/** Neither a tool nor a platform notices that other values replace every Pod between two steps of a rotation. */
async function upgradeDuringRotation(cluster: Cluster, helm: Helm, operator: Operator): Promise<void> {
  const tool = await startTool(cluster, operator);
  const before = keyIDs(await operator.document());
  say('rotationTrigger changes, with activationDelay 10s and overlap 45s (an accelerated run).');
  await trigger(cluster, operator);
  await until('the next key is served', async () => keyIDs(await operator.document()).length === 2);
  const next = keyIDs(await operator.document()).find((id) => !before.includes(id)) ?? '';
  assert.equal(await stateOf(cluster, `${registration}-2`), 'Next', 'the upgrade begins in the middle of the rotation');
  // Published from now on until the end; the tool checks every key that signs.
  const isRight = (body: string): boolean => keyIDs(body).includes(next);
  await underLoad(await operator.url(), isRight, 'during helm upgrade to three replicas', async () => {
    await helm.apply('upgrade', release, chart, changedValues);
    await operator.isRolledOut(changedValues.replicas);
  });
  await rotated(cluster, operator, tool);
  await operator.servesTheSameEverywhere();
  await tool.remove();
}

async function uninstallChart(cluster: Cluster, helm: Helm): Promise<void> {
  const before = await inventory(cluster);
  assert.ok(before.length > 0);
  await helm.run('uninstall', release, '--wait', '--timeout=60s');
  const inNamespace = `--namespace=${namespace}`;
  const own = await cluster.kubectl(['get', 'deployments,services,serviceaccounts', inNamespace, '--output=name']);
  assert.doesNotMatch(own, /lti-key/, 'the operator is gone');
  assert.deepEqual(await inventory(cluster), before);
  await cluster.kubectl(['get', 'secret', 'lti-key-operator-kek', inNamespace]);
  say(`After helm uninstall, CRDs, registrations, keys and Secrets are as before: ${before.length} objects.`);
}

/** Another installation, with the same key-encryption key, serves what the chart left, and opens its keys. */
export async function continuesWith(cluster: Cluster, operator: Operator, left: LeftByChart): Promise<void> {
  assert.equal((await fetchDocument(await operator.urlOf(registration))).body, left.document);
  // The Secret was deleted, so this key comes from the ledger.
  await until('the key is delivered again', async () => (await digestOfDeliveredKey(cluster)) === left.deliveredKey);
  say('What the chart left is served with the same keys, and the key that signs was delivered again from its ledger.');
}

interface KubeObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec?: object;
  readonly data?: Readonly<Record<string, string>>;
}

/** What an uninstallation must not touch, a line for each object. Digests, because there are Secrets among it. */
async function inventory(cluster: Cluster): Promise<string[]> {
  const kinds = 'crds,ltiregistrations,ltikeys,secrets';
  const { items } = await cluster.get<{ items: readonly KubeObject[] }>(kinds, `--namespace=${registrationNamespace}`);
  return items.map(({ kind, metadata: { name, uid }, spec, data }) =>
    [kind, name, uid, digest(JSON.stringify([spec, data]))].join(' '),
  );
}

async function digestOfDeliveredKey(cluster: Cluster): Promise<string> {
  const { data } = await cluster.get<KubeObject>(...deliverySecret);
  return digest(data?.['private.pem'] ?? '');
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function keyIDs(document: string): string[] {
  const { keys }: { keys: readonly { kid: string }[] } = JSON.parse(document);
  return keys.map(({ kid }) => kid);
}
