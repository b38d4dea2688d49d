import { operatorName } from '../../api/names.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { isOurs } from '../deployment.ts';
import { examine, failed, type Finding, passed, warning } from './finding.ts';

/** Checks of the admission policies of deploy/admission-policy.yaml. */

const group = 'admissionregistration.k8s.io';
const policies = { group, version: 'v1', kind: 'ValidatingAdmissionPolicy', plural: 'validatingadmissionpolicies' };
const bindings = {
  group,
  version: 'v1',
  kind: 'ValidatingAdmissionPolicyBinding',
  plural: 'validatingadmissionpolicybindings',
};
const roleBindings = {
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  kind: 'ClusterRoleBinding',
  plural: 'clusterrolebindings',
};

interface Binding extends KubeObject {
  readonly spec: {
    readonly policyName?: string;
    readonly validationActions?: readonly string[];
    readonly paramRef?: { readonly name?: string };
  };
}

interface RoleBinding extends KubeObject {
  readonly subjects?: readonly { readonly name: string; readonly namespace?: string }[];
}

/** What each policy refuses, by the part of its name after that of the operator. A prefix or suffix may be around both. */
export const expectedPolicies = {
  '': 'forged LtiKeys and statuses',
  '-ledgers': 'changes and deletions of ledgers',
  '-secrets': 'writes of the operator to other Secrets',
  '-registrations': 'deletions of registrations that the operator has not seen',
} as const;

export function checkPolicies(client: KubeClient, namespace: string, account: string): Promise<Finding> {
  return examine('admission policies', async () => {
    const found = (await client.list(policies)).items.filter(({ metadata }) => isOurs(metadata.labels));
    const bound = await client.list<Binding>(bindings);
    const denying = bound.items.filter(({ spec }) => spec.validationActions?.includes('Deny'));
    const others = Object.keys(expectedPolicies).filter((ending) => ending !== '');
    const missing = Object.entries(expectedPolicies).filter(([ending]) => {
      const names = found
        .map(({ metadata }) => metadata.name)
        .filter((name) =>
          ending === ''
            ? !others.some((other) => name.includes(operatorName + other))
            : name.includes(operatorName + ending),
        );
      return !names.some((name) => denying.some(({ spec }) => spec.policyName === name));
    });
    if (missing.length > 0) {
      return failed(
        `the API server does not refuse ${missing.map(([, what]) => what).join('; ')}: a policy is missing or not bound with Deny`,
        'apply deploy/admission-policy.yaml, which kubectl apply -k deploy contains',
      );
    }
    const parameters = new Set(
      denying.filter(({ metadata }) => isOurs(metadata.labels)).flatMap(({ spec }) => spec.paramRef?.name ?? []),
    );
    const bindingsOfRoles = await client.list<RoleBinding>(roleBindings);
    const identities = bindingsOfRoles.items.filter(({ metadata }) => parameters.has(metadata.name));
    const named = identities.some(({ subjects = [] }) =>
      subjects.some((subject) => subject.name === account && subject.namespace === namespace),
    );
    if (named) return passed(`${found.length} policies are bound`);
    return warning(
      `the policies do not name the ServiceAccount ${namespace}/${account}, so they refuse what the operator of this namespace writes`,
      `add it to the subjects of ClusterRoleBinding ${[...parameters].join(', ')}`,
    );
  });
}
