import { ltiKeys } from '../api/names.ts';
import type { LtiKey } from '../api/objects.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { isObjectNotFound } from '../kube/errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { DocumentPublisher } from './document-publisher.ts';
import { staysPublished } from './published-keys.ts';

export interface PublishingOptions {
  readonly directory: string;
  /** Whether the trust domain has a document of its own. */
  readonly all: boolean;
  readonly client: KubeClient;
  /** Indexed by `registration`: `namespace/name`. */
  readonly keys: Informer<LtiKey>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly published?: (namespace: string, registration: string) => void;
}

/** A publisher that follows the watched LtiKeys, in every replica, leader or not. */
export function publishing({
  directory,
  all,
  client,
  keys,
  clock,
  log,
  published,
}: PublishingOptions): DocumentPublisher {
  const publisher = new DocumentPublisher({
    directory,
    all,
    source: {
      list: () => keys.list(),
      listOf: (namespace, registration) => keys.byIndex('registration', `${namespace}/${registration}`),
      isUsable: () => keys.isUsable(),
      isConnected: () => keys.scopes.some((scope) => scope.connected()),
      unread: () => keys.unread(),
      async confirmGone(namespace, name, keyID) {
        refuseIfFailing(keys, namespace);
        try {
          const { spec } = await client.get<LtiKey>(ltiKeys, namespace, name);
          return spec.keyID !== keyID;
        } catch (error) {
          if (isObjectNotFound(error)) return true;
          throw error;
        }
      },
      async confirmNone(namespace, registration) {
        // Another --namespace than in the earlier life.
        if (!keys.scopeOf(namespace)) return true;
        refuseIfFailing(keys, namespace);
        const fieldSelector = `spec.registrationRef.name=${registration}`;
        const { items } = await client.list<LtiKey>(ltiKeys, { namespace, fieldSelector, limit: 1 });
        return items.length === 0;
      },
    },
    clock,
    log,
    ...(published ? { published } : {}),
  });
  keys.onChange(({ type, object, previous }) => {
    if (type === 'modified' && previous && staysPublished(previous, object)) return;
    publisher.changed(object.metadata.namespace!, object.spec.registrationRef.name);
  });
  keys.onRead(() => publisher.namespaceRead());
  return publisher;
}

/** A namespace that cannot be watched gives no answer about any of its LtiKeys, of which there may be thousands. */
function refuseIfFailing(keys: Informer<LtiKey>, namespace: string): void {
  if (keys.scopeOf(namespace)?.isFailing()) throw new Error(`namespace ${namespace} cannot be watched`);
}
