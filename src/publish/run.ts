import { ltiKeys } from '../api/names.ts';
import type { LtiKey } from '../api/objects.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Collection } from '../kube/collection.ts';
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
  readonly keys: Collection<LtiKey>;
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
      isSynced: () => keys.hasSynced() && keys.connected(),
      async confirmGone(namespace, name, keyID) {
        try {
          const { spec } = await client.get<LtiKey>(ltiKeys, namespace, name);
          return spec.keyID !== keyID;
        } catch (error) {
          if (isObjectNotFound(error)) return true;
          throw error;
        }
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
  return publisher;
}
