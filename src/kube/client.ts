import { operatorName } from '../api/names.ts';
import { type Choice, Credentials, loadKubeConfig } from './credentials.ts';
import { ApiError } from './errors.ts';
import type { KubeList, KubeObject, ResourceType, WatchEvent } from './objects.ts';
import { type Operation, describe, malformed, parseObject, toKubeList, toKubeObject } from './responses.ts';
import { type Call, Transport, type TransportOptions } from './transport.ts';
import { watchEvents } from './watch-stream.ts';

export type { ClientMetrics } from './transport.ts';

export interface ListOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
}

export interface WatchOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly resourceVersion: string;
  readonly timeoutSeconds: number;
}

/**
 * The Kubernetes API as JSON. Every method rejects with ApiError (the server refused) or TransportError (there is no
 * usable answer), neither of which ever holds a body. It does not retry: the work queue and the reflector do.
 */
export class KubeClient {
  readonly #credentials: Credentials;
  readonly #transport: Transport;

  constructor(options: TransportOptions) {
    this.#credentials = options.credentials;
    this.#transport = new Transport(options);
  }

  /** @param options.kubeconfig one or more files; without any, see loadKubeConfig */
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

  /** Of the kubeconfig's context, or of the Pod; else `default`. */
  get namespace(): string {
    return this.#credentials.namespace;
  }

  get<T extends KubeObject>(type: ResourceType, namespace: string, name: string): Promise<T> {
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

  /** The versions in which the API server serves a group; none if it does not know the group. */
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

  create<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#object<T>('POST', { verb: 'create', type, ...place(object) }, object);
  }

  /** Writes over the version that was read: a conflict (isConflict) if it is no longer the newest. */
  replace<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#put<T>({ verb: 'replace', type, ...place(object) }, object);
  }

  /** As `replace`, of `status` only. */
  replaceStatus<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#put<T>({ verb: 'replace status of', type, ...place(object) }, object);
  }

  /** Deletes this very object as it was read: a conflict if it has changed or been made anew since. */
  async delete(type: ResourceType, object: KubeObject): Promise<void> {
    const operation: Operation = { verb: 'delete', type, ...place(object) };
    const { uid, resourceVersion } = object.metadata;
    if (!uid || !resourceVersion) throw new TypeError(`${describe(operation)}: needs the object as it was read`);
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid, resourceVersion } };
    await this.#json({ ...operation, method: 'DELETE', path: resourcePath(operation), body, object });
  }

  /** Resolves once the server has accepted the watch. The events end at the server's timeout, or by throwing. */
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
   * Local clock minus the API server's, in milliseconds, by its newest answer; the `Date` header counts whole seconds,
   * so less than a second means nothing. Undefined before the first answer.
   */
  clockSkewMs(): number | undefined {
    return this.#transport.clockSkewMs;
  }

  /** Resolves when what is under way has ended; abort watches first. */
  close(): Promise<void> {
    return this.#transport.close();
  }

  async #put<T extends KubeObject>(operation: Operation, object: T): Promise<T> {
    if (!object.metadata.resourceVersion) {
      throw new TypeError(`${describe(operation)}: without resourceVersion it would overwrite what others wrote`);
    }
    return this.#object<T>('PUT', operation, object);
  }

  async #object<T extends KubeObject>(method: Call['method'], operation: Operation, object?: T): Promise<T> {
    const call: Call = { ...operation, method, path: resourcePath(operation), body: object, object };
    return toKubeObject<T>(operation, await this.#json(call));
  }

  async #json(call: Call, signal?: AbortSignal): Promise<Record<string, unknown>> {
    const value = parseObject(await this.#transport.text(call, signal));
    if (value === undefined) throw malformed(call, 'is not a JSON object, or was cut off');
    return value;
  }
}

function place(object: KubeObject): { namespace: string | undefined; name: string } {
  return { namespace: object.metadata.namespace, name: object.metadata.name };
}

/**
 * A collection is addressed without a name, also when an object is added to it. Names that the API server would not take
 * (k8s.io/apimachinery `path.IsValidPathSegmentName`) are refused here: `..` would become a request for something else.
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
