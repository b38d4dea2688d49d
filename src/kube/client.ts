import { operatorName } from '../api/names.ts';
import type { Duration } from '../domain/duration.ts';
import { parseJsonObject } from '../lib/json-object.ts';
import { type Choice, Credentials, loadKubeConfig } from './credentials.ts';
import type { KubeList, KubeObject, ResourceType, WatchEvent } from './objects.ts';
import { heldByFinalizers } from './errors.ts';
import { describe, finalizersOf, malformed, type Operation, toKubeList, toKubeObject } from './responses.ts';
import { type Call, Transport, type TransportOptions } from './transport.ts';
import { watchEvents } from './watch-stream.ts';

export interface ListOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string;
  /** Objects per request. */
  readonly limit?: number;
}

export interface WatchOptions extends Pick<ListOptions, 'namespace' | 'labelSelector'> {
  readonly resourceVersion: string;
  readonly timeoutSeconds: number;
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
    return this.#object<T>({ verb: 'get', type, namespace, name });
  }

  /** All objects of one version of the collection, read in pages, because there may be thousands. */
  async list<T extends KubeObject>(
    type: ResourceType,
    { namespace, limit = 500, ...selectors }: ListOptions = {},
    signal?: AbortSignal,
  ): Promise<KubeList<T>> {
    const operation: Operation = { verb: 'list', type, namespace };
    const items: T[] = [];
    for (let next: string | undefined; ;) {
      const path = pathOf(operation, { ...selectors, limit, continue: next });
      const page = toKubeList<T>(operation, await this.request({ ...operation, path }, signal));
      items.push(...page.items);
      const { resourceVersion, continue: more } = page.metadata;
      if (!more) return { metadata: { resourceVersion }, items };
      next = more;
    }
  }

  create<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#object<T>({ verb: 'create', type, ...place(object) });
  }

  /** Replaces the version that was read; rejects with a conflict (isConflict) if the object has changed since. */
  replace<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#object<T>({ verb: 'replace', type, ...place(object) });
  }

  /** As `replace`, for `status` only. */
  replaceStatus<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#object<T>({ verb: 'replace status of', type, ...place(object) });
  }

  /** Deletes the version that was read; rejects with a conflict if the object has changed or been recreated since. */
  async delete(type: ResourceType, object: KubeObject): Promise<void> {
    const operation: Operation = { verb: 'delete', type, ...place(object) };
    const { uid, resourceVersion } = object.metadata;
    if (!uid || !resourceVersion) throw new TypeError(`${describe(operation)}: uid or resourceVersion is missing`);
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid, resourceVersion } };
    const answer = await this.request({ ...operation, path: pathOf(operation), body });
    // A Status if the object is gone, otherwise the object.
    const finalizers = finalizersOf(answer);
    if (finalizers.length > 0) throw heldByFinalizers(describe(operation), finalizers);
  }

  /** Resolves when the server has accepted the watch. The events end at the server's timeout, or throw. */
  async watch<T extends KubeObject>(
    type: ResourceType,
    { namespace, ...options }: WatchOptions,
    signal: AbortSignal,
  ): Promise<AsyncIterable<WatchEvent<T>>> {
    const operation: Operation = { verb: 'watch', type, namespace };
    const path = pathOf(operation, { watch: true, allowWatchBookmarks: true, ...options });
    const body = await this.#transport.stream({ ...operation, path }, signal);
    return watchEvents<T>(operation, body);
  }

  /** Sends what has no method of its own: requests that concern no stored object. */
  async request(call: Call, signal?: AbortSignal): Promise<Record<string, unknown>> {
    const value = parseJsonObject(await this.#transport.text(call, signal));
    if (value === undefined) throw malformed(call, 'is not a JSON object, or is incomplete');
    return value;
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

  async #object<T extends KubeObject>(operation: Operation): Promise<T> {
    const { verb, object } = operation;
    if (verb.startsWith('replace') && !object?.metadata.resourceVersion) {
      throw new TypeError(`${describe(operation)}: without resourceVersion it would overwrite other changes`);
    }
    return toKubeObject<T>(operation, await this.request({ ...operation, path: pathOf(operation), body: object }));
  }
}

function place(object: KubeObject): Pick<Operation, 'namespace' | 'name' | 'object'> {
  return { namespace: object.metadata.namespace, name: object.metadata.name, object };
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * The path and query of an object, or of a collection to list, watch, or create an object in. Throws for names that the API
 * server does not accept (k8s.io/apimachinery `path.IsValidPathSegmentName`), because `..` would address another resource.
 */
function pathOf(operation: Operation, query: Query = {}): string {
  const { verb, type, namespace, name } = operation;
  const wrong = [namespace, name].find((part) => part !== undefined && /[/%]|^\.\.?$/.test(part));
  if (wrong !== undefined) {
    throw new TypeError(`${describe(operation)}: ${JSON.stringify(wrong)} cannot be the name of an object`);
  }
  if (name === '') throw new TypeError(`${describe(operation)}: the name of the object is empty`);
  const segments = type.group === '' ? ['api', type.version] : ['apis', type.group, type.version];
  if (namespace) segments.push('namespaces', namespace);
  segments.push(type.plural);
  if (name !== undefined && verb !== 'create') segments.push(name);
  if (verb === 'replace status of') segments.push('status');
  const path = segments.map((segment) => `/${encodeURIComponent(segment)}`).join('');
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  return search.size === 0 ? path : `${path}?${search.toString()}`;
}
