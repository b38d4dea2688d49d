import type { KubeClient } from './client.ts';
import type { KubeList, KubeObject, ResourceType, WatchEvent } from './objects.ts';

/** What a reflector needs of the API: one collection, to list and to watch. */
export interface ListWatcher<T extends KubeObject> {
  list(page: { limit: number; continue?: string }, signal: AbortSignal): Promise<KubeList<T>>;
  /** Resolves once the server has accepted the watch; its events end when the server closes it, or throw, as when `signal` aborts. */
  watch(
    from: { resourceVersion: string; timeoutSeconds: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<WatchEvent<T>>>;
}

/** The objects of one type, in one namespace or in all. */
export function listWatcher<T extends KubeObject>(
  client: KubeClient,
  type: ResourceType,
  scope: { namespace?: string; labelSelector?: string } = {},
): ListWatcher<T> {
  return {
    list: (page, signal) => client.list<T>(type, { ...scope, ...page }, signal),
    watch: (from, signal) => client.watch<T>(type, { ...scope, ...from }, signal),
  };
}
