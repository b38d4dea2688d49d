import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import type { KubeClient } from './client.ts';
import { Collection } from './collection.ts';
import { listWatcher } from './list-watcher.ts';
import type { KubeObject, ResourceType } from './objects.ts';
import { Scope } from './scope.ts';
import type { Indexer } from './store.ts';

export interface WatchingOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly type: ResourceType;
  /** None means all namespaces. */
  readonly namespaces: readonly string[];
  readonly labelSelector?: string;
  readonly indexers?: Readonly<Record<string, Indexer<T>>>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A collection that watches a kind in the given namespaces; it does so once it is run. */
export function watching<T extends KubeObject>(options: WatchingOptions<T>): Collection<T> {
  const { client, type, namespaces, labelSelector, ...rest } = options;
  const selected = labelSelector === undefined ? {} : { labelSelector };
  const scopes = namespaces.length === 0 ? [{}] : namespaces.map((namespace) => ({ namespace }));
  return new Collection(
    scopes.map(
      (scope) =>
        new Scope<T>({ type, ...scope, source: listWatcher<T>(client, type, { ...scope, ...selected }), ...rest }),
    ),
  );
}
