import { type Duration, second } from '../domain/duration.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import type { KubeClient } from './client.ts';
import { ApiError, TransportError } from './errors.ts';
import { type KubeObject, type ObjectKey, type ResourceType, splitKey } from './objects.ts';
import { type ListWatcher, Reflector } from './reflector.ts';
import { type ChangeHandler, type Indexers, Store } from './store.ts';

export interface InformerOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly type: ResourceType;
  /** Empty: all namespaces. */
  readonly namespaces: readonly string[];
  readonly labelSelector?: string;
  readonly indexers?: Indexers<T>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Creates an informer of a type in the given namespaces; it lists and watches while it runs. */
export function createInformer<T extends KubeObject>(options: InformerOptions<T>): Informer<T> {
  const { client, type, namespaces, labelSelector, ...rest } = options;
  const scopes = namespaces.length === 0 ? [undefined] : namespaces;
  return new Informer(
    scopes.map((namespace) => {
      const source = listWatcher<T>(client, type, { namespace, labelSelector });
      return new Scope<T>({ resource: type.plural, namespace, source, ...rest });
    }),
  );
}

export function listWatcher<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType,
  selection: { readonly namespace: string | undefined; readonly labelSelector: string | undefined },
): ListWatcher<T> {
  return {
    list: (signal) => client.list<T>(type, selection, signal),
    watch: (from, signal) => client.watch<T>(type, { ...selection, ...from }, signal),
  };
}

/** A cache of one type in all watched namespaces. Its scopes, one per namespace or one for all of them, are independent. */
export class Informer<T extends KubeObject> {
  readonly scopes: readonly Scope<T>[];
  readonly #byNamespace: ReadonlyMap<string | undefined, Scope<T>>;

  constructor(scopes: readonly Scope<T>[]) {
    this.scopes = scopes;
    this.#byNamespace = new Map(scopes.map((scope) => [scope.namespace, scope]));
  }

  /** The scope with the objects of this namespace; `undefined` if the namespace is not watched. */
  scopeOf(namespace: string): Scope<T> | undefined {
    return this.#byNamespace.get(namespace) ?? this.#byNamespace.get(undefined);
  }

  get(key: ObjectKey): T | undefined {
    return this.scopeOf(splitKey(key).namespace)?.store.get(key);
  }

  get size(): number {
    return this.scopes.reduce((sum, { store }) => sum + store.size, 0);
  }

  list(): readonly T[] {
    return this.scopes.flatMap(({ store }) => store.list());
  }

  /** Index values begin with `namespace/`, so that a lookup costs the same for one namespace and for 200. */
  byIndex(index: string, value: string): readonly T[] {
    return this.scopeOf(splitKey(value).namespace)?.store.byIndex(index, value) ?? [];
  }

  /** Whether all objects of this namespace have been read once. */
  isRead(namespace: string): boolean {
    return this.scopeOf(namespace)?.hasSynced() ?? false;
  }

  /** Whether work can begin: one scope has been read, and no other scope is awaited. */
  isUsable(): boolean {
    return this.scopes.some((scope) => scope.hasSynced()) && !this.scopes.some((scope) => scope.isAwaited());
  }

  /** The namespaces that were never read. */
  unread(): readonly string[] {
    return this.scopes.flatMap((scope) => (scope.hasSynced() ? [] : (scope.namespace ?? [])));
  }

  /** Whether every scope has been read and is watched. */
  connected(): boolean {
    return this.scopes.every((scope) => scope.connected());
  }

  onChange(handler: ChangeHandler<T>): void {
    for (const { store } of this.scopes) store.onChange(handler);
  }

  /** Called once per scope, after the change handlers have received its objects; `undefined` stands for all namespaces. */
  onRead(handler: (namespace: string | undefined) => void): void {
    for (const scope of this.scopes) scope.onRead(() => handler(scope.namespace));
  }

  /** Resolves when `signal` has aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.scopes.map((scope) => scope.run(signal)));
  }
}

/** How long other scopes wait for the first answer about a scope. */
const patience: Duration = 30 * second;

export interface ScopeOptions<T extends KubeObject> extends Pick<InformerOptions<T>, 'indexers' | 'clock' | 'log'> {
  /** The plural of the type. */
  readonly resource: string;
  /** `undefined`: all namespaces. */
  readonly namespace: string | undefined;
  readonly source: ListWatcher<T>;
}

/**
 * The cache of one namespace, or of all namespaces, and whether it is current. A scope whose namespace or rights are gone
 * does not affect other scopes:
 *
 *     awaited ──read──► current ◄──── watch accepted ────┐
 *        │                  └──── a request failed ──► failing, with the last known objects
 *        └── refused (403, 404), or no answer for 30 s ──► unread; the reflector retries
 */
export class Scope<T extends KubeObject> {
  readonly namespace: string | undefined;
  readonly resource: string;
  readonly store: Store<T>;
  readonly #reflector: Reflector<T>;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #readHandlers: (() => void)[] = [];
  #startedAt: number | undefined;
  /** Why the newest attempt to list or watch failed, and since when attempts fail. */
  #failure: { readonly since: Date; readonly cause: number | string } | undefined;

  constructor({ resource, namespace, source, indexers, clock, log }: ScopeOptions<T>) {
    this.namespace = namespace;
    this.resource = resource;
    this.#clock = clock;
    this.#log = log.child({ resource, ...(namespace !== undefined && { namespace }) });
    this.store = new Store(indexers, (error) => this.#log.error({ error }, 'change handler failed'));
    this.#reflector = new Reflector<T>({
      source,
      store: this.store,
      clock,
      onSynced: () => this.#readHandlers.forEach((handler) => handler()),
      onWatch: () => this.#recovered(),
      onError: (error) => this.#failed(error),
    });
  }

  hasSynced(): boolean {
    return this.#reflector.hasSynced();
  }

  connected(): boolean {
    return this.#reflector.connected();
  }

  /** Whether other scopes wait for the first list, because it may arrive at any moment. */
  isAwaited(): boolean {
    if (this.hasSynced() || this.#failure?.cause === 403 || this.#failure?.cause === 404) return false;
    return this.#startedAt === undefined || this.#clock.monotonic() - this.#startedAt < patience;
  }

  /** Whether the last attempt to list or watch failed. */
  isFailing(): boolean {
    return this.#failure !== undefined;
  }

  /** When the cache was last equal to the API server's state: now, unless a request failed. `undefined` before the first list. */
  currentUntil(): Date | undefined {
    return this.hasSynced() ? (this.#failure?.since ?? this.#clock.now()) : undefined;
  }

  onRead(handler: () => void): void {
    this.#readHandlers.push(handler);
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#startedAt = this.#clock.monotonic();
    await this.#reflector.run(signal);
  }

  #recovered(): void {
    if (this.#failure !== undefined) this.#log.info({}, 'watch restored');
    this.#failure = undefined;
  }

  /** Logs each cause once, whatever the number of retries. */
  #failed(error: unknown): void {
    const cause = causeOf(error);
    if (cause !== this.#failure?.cause) this.#log.warn({ error }, 'watch failed; retrying');
    this.#failure = { since: this.#failure?.since ?? this.#clock.now(), cause };
  }
}

/** The status of a refusal, or the failure of the transport. */
function causeOf(error: unknown): number | string {
  if (error instanceof ApiError) return error.status;
  return error instanceof TransportError ? error.failure : 'Unknown';
}
