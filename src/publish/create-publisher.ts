import { ltiKeys } from '../api/names.ts';
import type { LtiKey } from '../api/objects.ts';
import type { KubeClient } from '../kube/client.ts';
import { ifExists } from '../kube/errors.ts';
import type { Informer } from '../kube/informer.ts';
import { DocumentPublisher, type PublisherOptions } from './document-publisher.ts';
import type { KeySource } from './key-source.ts';
import { staysPublished } from './published-key.ts';

export interface PublisherSetup extends Omit<PublisherOptions, 'source'> {
  readonly client: KubeClient;
  /** Indexed by `registration`: `namespace/name`. */
  readonly keys: Informer<LtiKey>;
}

/** Creates a publisher that follows the LtiKeys of the informer. Every replica has one, whether it leads or not. */
export function createPublisher({ client, keys, ...options }: PublisherSetup): DocumentPublisher {
  const source: KeySource = {
    list: () => keys.list(),
    listOf: (namespace, registration) => keys.byIndex('registration', `${namespace}/${registration}`),
    isUsable: () => keys.isUsable(),
    isConnected: () => keys.scopes.some((scope) => scope.connected()),
    unread: () => keys.unread(),
    async confirmGone(namespace, name, keyID) {
      refuseIfFailing(keys, namespace);
      const found = await ifExists(client.get<LtiKey>(ltiKeys, namespace, name));
      return found?.spec.keyID !== keyID;
    },
    async confirmNone(namespace, registration) {
      // The previous run had another --namespace.
      if (!keys.scopeOf(namespace)) return true;
      refuseIfFailing(keys, namespace);
      const fieldSelector = `spec.registrationRef.name=${registration}`;
      const { items } = await client.list<LtiKey>(ltiKeys, { namespace, fieldSelector });
      return items.length === 0;
    },
  };
  const publisher = new DocumentPublisher({ ...options, source });
  keys.onChange(({ type, object, previous }) => {
    if (type === 'modified' && previous && staysPublished(previous, object)) return;
    publisher.changed(object.metadata.namespace!, object.spec.registrationRef.name);
  });
  keys.onRead(() => publisher.namespaceRead());
  return publisher;
}

/** Without this check, each of possibly thousands of LtiKeys would cost a request that fails like the watch. */
function refuseIfFailing(keys: Informer<LtiKey>, namespace: string): void {
  if (keys.scopeOf(namespace)?.isFailing()) throw new Error(`namespace ${namespace} cannot be watched`);
}
