import { stringify } from 'yaml';
import { events as eventType } from '../../src/api/names.ts';
import type { KubeEvent } from '../../src/kube/events.ts';
import { applyManifest, controlPlane } from './control-plane-fixture.ts';
import { until } from './operator.ts';
import type { Tenant } from './tenant.ts';

/** What administrators of a cluster put in the way of writes, in force when it is there and gone when it is removed. */

export interface Obstacle {
  remove(): Promise<void>;
}

export interface RefusedWrites {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly apiGroup: '' | 'ltikeys.dev';
  readonly resource: 'secrets' | 'ltikeys' | 'ltikeys/status' | 'ltiregistrations/status';
  readonly message: string;
}

/** A ValidatingAdmissionPolicy in one namespace, as policy engines make them. */
export async function policy(namespace: string, refused: RefusedWrites): Promise<Obstacle> {
  const { operation, apiGroup, resource, message } = refused;
  const name = `${namespace}-${operation.toLowerCase()}-${resource.replace('/', '-')}`;
  const rule = (group: string, what: string, verb: string): object => ({
    apiGroups: [group],
    apiVersions: ['*'],
    operations: [verb],
    resources: [what],
  });
  await apply(
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name },
      spec: {
        failurePolicy: 'Fail',
        // Nobody makes ConfigMaps here: by them is seen whether the policy is in force.
        matchConstraints: { resourceRules: [rule(apiGroup, resource, operation), rule('', 'configmaps', 'CREATE')] },
        validations: [{ expression: 'false', message }],
      },
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name },
      spec: {
        policyName: name,
        validationActions: ['Deny'],
        matchResources: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } } },
      },
    },
  );
  await until(async () => (await configMap(namespace)).stderr.includes(message), `policy ${name} is in force`);
  return {
    async remove() {
      await kubectl(['delete', 'validatingadmissionpolicy,validatingadmissionpolicybinding', name]);
      await until(async () => (await configMap(namespace)).code === 0, `policy ${name} is gone`);
    },
  };
}

/** A ResourceQuota, used up, as its controller would say in the status: the control plane of the tests runs without. */
export async function quota(namespace: string, hard: Readonly<Record<string, string>>): Promise<Obstacle> {
  const name = 'few-objects';
  await apply({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name, namespace }, spec: { hard } });
  const place = [name, `--namespace=${namespace}`];
  const status = JSON.stringify({ status: { hard, used: hard } });
  await kubectl(['patch', 'resourcequota', ...place, '--subresource=status', '--type=merge', `--patch=${status}`]);
  return { remove: () => kubectl(['delete', 'resourcequota', ...place]) };
}

/** The events of a namespace with this reason, as `Warning: note`. */
export async function eventsOf(tenant: Tenant, reason: string, about: string): Promise<readonly string[]> {
  const { items } = await tenant.client.list<KubeEvent>(eventType, { namespace: tenant.namespace });
  return items
    .filter((event) => event.reason === reason && event.regarding.name === about)
    .map(({ type, note }) => `${type}: ${note}`);
}

function configMap(namespace: string): ReturnType<ReturnType<typeof controlPlane>['kubectlRun']> {
  return controlPlane().kubectlRun(['create', 'configmap', 'probe', '--dry-run=server', `--namespace=${namespace}`]);
}

async function apply(...objects: readonly object[]): Promise<void> {
  const { code, stderr } = await applyManifest(objects.map((object) => stringify(object)).join('---\n'));
  if (code !== 0) throw new Error(stderr);
}

export async function kubectl(args: readonly string[]): Promise<void> {
  const { code, stderr } = await controlPlane().kubectlRun(args);
  if (code !== 0) throw new Error(stderr);
}
