import type { KubeClient } from '../kube/client.ts';
import { ApiError, TransportError } from '../kube/errors.ts';
import type { ResourceType } from '../kube/objects.ts';
import { isJsonObject } from '../lib/json-object.ts';

/** What the API server says about itself and about rights. None of it is a stored object. */

/** `resourceAttributes` of an access review; without a namespace, in all of them. */
export interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/** The user of an access review. */
export interface Subject {
  readonly user: string;
  readonly groups: readonly string[];
}

/** The versions of a group that the API server serves; empty if it has no such group. */
export async function servedVersions(client: KubeClient, group: string): Promise<readonly string[]> {
  const type: ResourceType = { group, version: '', kind: 'APIGroup', plural: 'API group' };
  try {
    const { versions } = await client.request({ verb: 'get', type, name: group, path: `/apis/${group}` });
    return Array.isArray(versions)
      ? versions.flatMap(({ version }) => (typeof version === 'string' ? [version] : []))
      : [];
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return [];
    throw error;
  }
}

/** Whether the user of the client, or `of`, has a right: authorization.k8s.io SelfSubjectAccessReview, SubjectAccessReview. */
export async function isAllowed(client: KubeClient, right: Right, of?: Subject): Promise<boolean> {
  const kind = of ? 'SubjectAccessReview' : 'SelfSubjectAccessReview';
  const type: ResourceType = { group: 'authorization.k8s.io', version: 'v1', kind, plural: `${kind.toLowerCase()}s` };
  const apiVersion = `${type.group}/${type.version}`;
  const body = { apiVersion, kind, metadata: {}, spec: { ...of, resourceAttributes: right } };
  const { status } = await client.request({ verb: 'create', type, path: `/apis/${apiVersion}/${type.plural}`, body });
  if (!isJsonObject(status)) throw new TransportError('Malformed', `create ${type.plural}: the answer has no status`);
  return status['allowed'] === true;
}
