import { operatorName } from '../api/names.ts';
import type { Duration } from '../domain/duration.ts';
import { type Choice, Credentials, loadKubeConfig } from './credentials.ts';
import { ApiError } from './errors.ts';
import type { KubeList, KubeObject, ResourceType, WatchEvent } from './objects.ts';
import { describe, malformed, type Operation, parseObject, toKubeList, toKubeObject } from './responses.ts';
import { type Call, Transport, type TransportOptions } from './transport.ts';
import { watchEvents } from './watch-stream.ts';
import { isJsonObject } from '../lib/json-object.ts';

export interface ListOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
}

export interface WatchOptions extends Pick<ListOptions, 'namespace' | 'labelSelector'> {
  readonly resourceVersion: string;
  readonly timeoutSeconds: number;
}

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

/**
 * A client of the Kubernetes API, with JSON. Methods reject with ApiError (the server refused) or TransportError (there is no
 * usable answer), and neither contains a body. They do not retry; the work queue and the reflector do.
 */
export class KubeClient {
  readonly #credentials: Credentials;
  readonly #transport: Transport;

  constructor(options: TransportOptions) {
    this.#credentials = options.credentials;
    this.#transport = new Transport(options);
  }

  /** @param options.kubeconfig one or more files; if empty, see loadKubeConfig */
  static load({
    kubeconfig = [],
    context,
    impersonate,
    ...options
  }: Omit<TransportOptions, 'credentials' | 'userAgent'> & {
    readonly userAgent?: string;
    readonly kubeconfig?: string | readonly string[] | undefined;
  } & Choice): KubeClient {
    const credentials = new Credentials(() => loadKubeConfig([kubeconfig].flat(), { context, impersonate }));
    return new KubeClient({ credentials, userAgent: operatorName, ...options });
  }

  /** The namespace of the kubeconfig's context, or of the Pod; else `default`. */
  get namespace(): string {
    return this.#credentials.namespace;
  }

  /** Without a namespace, an object of the cluster. */
  get<T extends KubeObject>(type: ResourceType, namespace: string | undefined, name: string): Promise<T> {
    return this.#object<T>('GET', { verb: 'get', type, namespace, name });
  }

  async list<T extends KubeObject>(
    type: ResourceType,
    { namespace, ...query }: ListOptions = {},
    signal?: AbortSignal,
  ): Promise<KubeList<T>> {
    const operation: Operation = { verb: 'list', type, namespace };
    const path = resourcePath(operation) + queryString({ ...query });
    return toKubeList<T>(operation, await this.#json({ ...operation, method: 'GET', path }, signal));
  }

  /** The versions of a group that the API server serves; empty if it has no such group. */
  async servedVersions(group: string): Promise<readonly string[]> {
    const type = { group, version: '', kind: 'APIGroup', plural: 'API group' };
    const call: Call = { verb: 'get', type, name: group, method: 'GET', path: `/apis/${encodeURIComponent(group)}` };
    try {
      const { versions } = await this.#json(call);
      return Array.isArray(versions)
        ? versions.flatMap(({ version }) => (typeof version === 'string' ? [version] : []))
        : [];
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return [];
      throw error;
    }
  }

  /** Whether the user of this client, or `of`, has a right: authorization.k8s.io SelfSubjectAccessReview, SubjectAccessReview. */
  async isAllowed(right: Right, of?: Subject): Promise<boolean> {
    const kind = of ? 'SubjectAccessReview' : 'SelfSubjectAccessReview';
    const type = { group: 'authorization.k8s.io', version: 'v1', kind, plural: `${kind.toLowerCase()}s` };
    const body = { apiVersion: `${type.group}/v1`, kind, metadata: {}, spec: { ...of, resourceAttributes: right } };
    const operation: Operation = { verb: 'create', type };
    const { status } = await this.#json({ ...operation, method: 'POST', path: resourcePath(operation), body });
    if (!isJsonObject(status)) throw malformed(operation, 'has no status');
    return status['allowed'] === true;
  }

  create<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#object<T>('POST', { verb: 'create', type, ...place(object) }, object);
  }

  /** Replaces the version that was read; rejects with a conflict (isConflict) if the object has changed since. */
  replace<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#object<T>('PUT', { verb: 'replace', type, ...place(object) }, object);
  }

  /** As `replace`, for `status` only. */
  replaceStatus<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#object<T>('PUT', { verb: 'replace status of', type, ...place(object) }, object);
  }

  /** Deletes the version that was read; rejects with a conflict if the object has changed or been recreated since. */
  async delete(type: ResourceType, object: KubeObject): Promise<void> {
    const operation: Operation = { verb: 'delete', type, ...place(object) };
    const { uid, resourceVersion } = object.metadata;
    if (!uid || !resourceVersion) throw new TypeError(`${describe(operation)}: uid or resourceVersion is missing`);
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid, resourceVersion } };
    await this.#json({ ...operation, method: 'DELETE', path: resourcePath(operation), body, object });
  }

  /** Resolves when the server has accepted the watch. The events end at the server's timeout, or throw. */
  async watch<T extends KubeObject>(
    type: ResourceType,
    { namespace, ...options }: WatchOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<WatchEvent<T>>> {
    const operation: Operation = { verb: 'watch', type, namespace };
    const path = resourcePath(operation) + queryString({ watch: true, allowWatchBookmarks: true, ...options });
    const body = await this.#transport.stream({ ...operation, method: 'GET', path }, signal);
    return watchEvents<T>(operation, body);
  }

  /**
   * The local clock minus the API server's, from its newest answer; less than a second is insignificant, because the `Date`
   * header has whole seconds. Undefined before the first answer.
   */
  clockSkew(): Duration | undefined {
    return this.#transport.clockSkew;
  }

  /** Resolves when the requests in progress have ended; abort watches first. */
  close(): Promise<void> {
    return this.#transport.close();
  }

  async #object<T extends KubeObject>(method: Call['method'], operation: Operation, object?: T): Promise<T> {
    if (method === 'PUT' && !object?.metadata.resourceVersion) {
      throw new TypeError(`${describe(operation)}: without resourceVersion it would overwrite other changes`);
    }
    const call: Call = { ...operation, method, path: resourcePath(operation), body: object, object };
    return toKubeObject<T>(operation, await this.#json(call));
  }

  async #json(call: Call, signal?: AbortSignal): Promise<Record<string, unknown>> {
    const value = parseObject(await this.#transport.text(call, signal));
    if (value === undefined) throw malformed(call, 'is not a JSON object, or is incomplete');
    return value;
  }
}

function place(object: KubeObject): { namespace: string | undefined; name: string } {
  return { namespace: object.metadata.namespace, name: object.metadata.name };
}

/**
 * The path of an object, or of a collection to list, watch, or create an object in. Throws for names that the API server does
 * not accept (k8s.io/apimachinery `path.IsValidPathSegmentName`), because `..` would address another resource.
 */
function resourcePath(operation: Operation): string {
  const { verb, type, namespace, name } = operation;
  const segments = type.group === '' ? ['api', type.version] : ['apis', type.group, type.version];
  if (namespace) segments.push('namespaces', namespace);
  segments.push(type.plural);
  if (name !== undefined && verb !== 'create') segments.push(name);
  if (verb === 'replace status of') segments.push('status');
  for (const part of [namespace, name]) {
    if (part === '.' || part === '..' || (part !== undefined && /[/%]/.test(part))) {
      throw new TypeError(`${describe(operation)}: ${JSON.stringify(part)} cannot be the name of an object`);
    }
  }
  if (name === '') throw new TypeError(`${describe(operation)}: the name of the object is empty`);
  return segments.map((segment) => `/${encodeURIComponent(segment)}`).join('');
}

function queryString(parameters: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value));
  return query.size === 0 ? '' : `?${query.toString()}`;
}
