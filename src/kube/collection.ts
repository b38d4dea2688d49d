import type { ChangeHandler } from './change-feed.ts';
import { type KubeObject, type ObjectKey, splitKey } from './objects.ts';
import type { Scope } from './scope.ts';

/** One kind in all the namespaces that are watched: in each of them, or in all of them at once. Each scope stands for itself. */
export class Collection<T extends KubeObject> {
  readonly scopes: readonly Scope<T>[];
  readonly #byNamespace: ReadonlyMap<string | undefined, Scope<T>>;

  constructor(scopes: readonly Scope<T>[]) {
    this.scopes = scopes;
    this.#byNamespace = new Map(scopes.map((scope) => [scope.namespace, scope]));
  }

  /** The scope that has the objects of this namespace; `undefined` if it is not watched. */
  scopeOf(namespace: string): Scope<T> | undefined {
    return this.#byNamespace.get(namespace) ?? this.#byNamespace.get(undefined);
  }

  get(key: ObjectKey): T | undefined {
    return this.scopeOf(splitKey(key).namespace)?.reflector.store.get(key);
  }

  list(): readonly T[] {
    return this.scopes.flatMap(({ reflector }) => reflector.store.list());
  }

  get size(): number {
    return this.scopes.reduce((sum, { reflector }) => sum + reflector.store.size, 0);
  }

  /** Index values begin with `namespace/`, so that a lookup costs the same for one namespace and for 200. */
  byIndex(index: string, value: string): readonly T[] {
    return this.scopeOf(splitKey(value).namespace)?.reflector.store.byIndex(index, value) ?? [];
  }

  /** Whether all objects of this namespace have been read once. */
  isRead(namespace: string): boolean {
    return this.scopeOf(namespace)?.hasSynced() ?? false;
  }

  /**
   * Whether to begin with what has been read: a scope has, and no other one may come any moment. One that is refused, or gives no
   * answer for long, is not waited for.
   */
  isUsable(): boolean {
    return this.scopes.some((scope) => scope.hasSynced()) && !this.scopes.some((scope) => scope.isAwaited());
  }

  /** Whether every object there is has been read, and nothing keeps a change from being seen. */
  isWhole(): boolean {
    return this.scopes.every((scope) => scope.hasSynced() && !scope.isFailing());
  }

  /** The namespaces that were never read. */
  unread(): readonly string[] {
    return this.scopes.flatMap((scope) => (scope.hasSynced() ? [] : (scope.namespace ?? [])));
  }

  /** Whether every scope is as new as it gets. */
  connected(): boolean {
    return this.scopes.every((scope) => scope.connected());
  }

  onChange(handler: ChangeHandler<T>): void {
    for (const { reflector } of this.scopes) reflector.onChange(handler);
  }

  /** `namespace` is absent for all namespaces; see Scope.onRead. */
  onRead(handler: (namespace: string | undefined) => void): void {
    for (const scope of this.scopes) scope.onRead(() => handler(scope.namespace));
  }

  /** Resolves when stopped. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.scopes.map((scope) => scope.run(signal)));
  }
}
