import {
  apiGroup,
  canarySecretName,
  customResourceDefinitions,
  operatorName,
  registrationDefinitionName,
} from '../../api/names.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isAllowed, type Right, type Subject } from '../discovery.ts';
import { examine, failed, type Finding, passed, warning } from './finding.ts';

/** Checks of rights, by the access reviews of the API server. */

interface Grant {
  readonly group: string;
  readonly resource: string;
  readonly verbs: readonly string[];
  readonly name?: string;
}

/** As the ClusterRole lti-key-operator of deploy/rbac.yaml grants them, in every namespace that the operator watches. */
export const grantsInWatchedNamespaces: readonly Grant[] = [
  { group: apiGroup, resource: 'ltiregistrations', verbs: ['get', 'list', 'watch'] },
  { group: apiGroup, resource: 'ltiregistrations/status', verbs: ['update'] },
  { group: apiGroup, resource: 'ltikeys', verbs: ['get', 'list', 'watch', 'create', 'delete'] },
  { group: apiGroup, resource: 'ltikeys/status', verbs: ['update'] },
  { group: '', resource: 'secrets', verbs: ['get', 'create', 'update', 'delete'] },
  { group: 'events.k8s.io', resource: 'events', verbs: ['create'] },
];

/** As the ClusterRole lti-key-operator-definition of deploy/rbac.yaml grants them, whatever namespaces the operator watches. */
export const grantsInCluster: readonly Grant[] = [
  {
    group: customResourceDefinitions.group,
    resource: customResourceDefinitions.plural,
    verbs: ['get'],
    name: registrationDefinitionName,
  },
];

/** As the Role of deploy/rbac.yaml grants them, in the operator's own namespace. */
export const grantsInOwnNamespace: readonly Grant[] = [
  { group: 'coordination.k8s.io', resource: 'leases', verbs: ['create'] },
  { group: 'coordination.k8s.io', resource: 'leases', verbs: ['get', 'update'], name: operatorName },
  { group: '', resource: 'secrets', verbs: ['get', 'update'], name: canarySecretName },
  { group: '', resource: 'secrets', verbs: ['create'] },
  { group: 'discovery.k8s.io', resource: 'endpointslices', verbs: ['list', 'watch'] },
];

/** What `kubectl lti` needs in a namespace to show and to change registrations. */
const grantsOfUsers: readonly Grant[] = [
  { group: apiGroup, resource: 'ltiregistrations', verbs: ['get', 'list', 'update'] },
  { group: apiGroup, resource: 'ltikeys', verbs: ['get', 'list'] },
];

/** Each namespace costs about a dozen requests. */
const mostNamespaces = 10;

export function checkOperatorRights(
  client: KubeClient,
  { namespace, account }: { readonly namespace: string; readonly account: string },
  watched: readonly string[],
): Promise<Finding> {
  return examine('operator rights', async () => {
    const subject: Subject = {
      user: `system:serviceaccount:${namespace}:${account}`,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
    };
    const places = watched.length === 0 ? [undefined] : watched.slice(0, mostNamespaces);
    const rights = [
      ...places.flatMap((place) => rightsOf(grantsInWatchedNamespaces, place)),
      ...rightsOf(grantsInCluster, undefined),
      ...rightsOf(grantsInOwnNamespace, namespace),
    ];
    const denied = await deniedOf(client, rights, subject);
    const left = watched.length - places.length;
    const more = left > 0 ? `; ${left} more namespaces were not checked` : '';
    if (denied.length === 0) return passed(`ServiceAccount ${namespace}/${account} has every right of deploy/${more}`);
    return failed(
      `ServiceAccount ${namespace}/${account} may not ${denied.map(inWords).join(', ')}${more}`,
      'apply deploy/rbac.yaml; in a namespace that the operator watches alone, bind ClusterRole lti-key-operator there',
    );
  });
}

export function checkOwnRights(client: KubeClient, namespace: string): Promise<Finding> {
  return examine('your rights', async () => {
    const denied = await deniedOf(client, rightsOf(grantsOfUsers, namespace));
    if (denied.length === 0) return passed(`you may see and change registrations of namespace ${namespace}`);
    return warning(
      `you may not ${denied.map(inWords).join(', ')}`,
      'ask for the role view to see registrations, and for edit as well to rotate and revoke',
    );
  });
}

function rightsOf(grants: readonly Grant[], namespace: string | undefined): readonly Right[] {
  return grants.flatMap(({ group, resource, verbs, name }) => {
    const [plural = '', subresource] = resource.split('/');
    return verbs.map((verb): Right => ({
      verb,
      group,
      resource: plural,
      ...(subresource === undefined ? {} : { subresource }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(name === undefined ? {} : { name }),
    }));
  });
}

async function deniedOf(client: KubeClient, rights: readonly Right[], subject?: Subject): Promise<readonly Right[]> {
  const allowed = await Promise.all(rights.map((right) => isAllowed(client, right, subject)));
  return rights.filter((_, index) => !allowed[index]);
}

function inWords({ verb, resource, subresource, namespace, name }: Right): string {
  const what = [resource, subresource].filter(Boolean).join('/');
  const where = namespace === undefined ? 'in the whole cluster' : `in ${namespace}`;
  return `${verb} ${what}${name === undefined ? '' : ` ${name}`} ${where}`;
}
