import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { ConditionReason } from '../api/reasons.ts';
import { isShownPublished } from '../domain/ltikeys.ts';
import type { Informer } from '../kube/informer.ts';
import { objectKey, type ObjectKey } from '../kube/objects.ts';
import type { Priority } from '../kube/workqueue.ts';
import { wentBack, type OwnWrites } from './own-writes.ts';

/** Selects the registration that an event enqueues, and its priority. Only names are enqueued; reconcile reads the objects. */

/** `namespace/name` of the registration that an LtiKey belongs to. */
export function registrationOf({ metadata, spec }: LtiKey): ObjectKey {
  return `${metadata.namespace}/${spec.registrationRef.name}`;
}

/** `namespace/keyID`: finds registrations that share a key. */
export function keyIDOf({ metadata, spec }: LtiKey): string {
  return `${metadata.namespace}/${spec.keyID}`;
}

export const ltiKeyIndexers = { registration: registrationOf, keyID: keyIDOf };

export interface Watched {
  readonly registrations: Informer<LtiRegistration>;
  readonly keys: Informer<LtiKey>;
  readonly ownWrites: { readonly registrations: OwnWrites<LtiRegistration>; readonly keys: OwnWrites<LtiKey> };
  /** The last state of registrations whose deletion this process saw; removed with the last object of the registration. */
  readonly lastSeen: Map<ObjectKey, LtiRegistration>;
}

/** Calls `changed` for each registration with a change that this process did not write. */
export function addEventHandlers(
  { registrations, keys, ownWrites, lastSeen }: Watched,
  changed: (key: ObjectKey) => void,
): void {
  registrations.onChange(({ type, object, previous }) => {
    const key = objectKey(object);
    if (type === 'deleted') lastSeen.set(key, object);
    else lastSeen.delete(key);
    if (type !== 'deleted' && !wentBack(object, previous)) {
      return ownWrites.registrations.unlessOwn(object, () => changed(key));
    }
    ownWrites.registrations.forget(key);
    changed(key);
  });
  keys.onChange(({ type, object, previous }) => {
    if (type !== 'deleted' && !wentBack(object, previous)) {
      return ownWrites.keys.unlessOwn(object, () => changed(registrationOf(object)));
    }
    ownWrites.keys.forget(objectKey(object));
    changed(registrationOf(object));
  });
}

/** Revocations and removals come first, then registrations with keys, then new ones. */
export function priorityOf({ registrations, keys }: Pick<Watched, 'registrations' | 'keys'>, key: ObjectKey): Priority {
  const object = registrations.get(key);
  if (!object) return 0;
  const ltiKeys = keys.byIndex('registration', key);
  if (awaitsRevocation(object, () => ltiKeys)) return 0;
  return ltiKeys.length === 0 && object.status?.activeKey === undefined ? 2 : 1;
}

/** Whether a key in `spec.revokedKeyIDs` is still shown as published. */
export function awaitsRevocation({ spec }: LtiRegistration, ltiKeys: () => readonly LtiKey[]): boolean {
  const revoked = spec.revokedKeyIDs ?? [];
  return revoked.length > 0 && ltiKeys().some((one) => isShownPublished(one) && revoked.includes(one.spec.keyID));
}

/** Whether the status says that the next key has not been fetched. */
export function reportsNoFetch(object: LtiRegistration | undefined): boolean {
  const reasons: readonly string[] = ['NotFetched', 'FetchRequired'] satisfies ConditionReason[];
  return object?.status?.conditions?.some(({ reason }) => reasons.includes(reason)) ?? false;
}

/** Every registration in the caches, including those that have only LtiKeys left. */
export function knownRegistrations({
  registrations,
  keys,
}: Pick<Watched, 'registrations' | 'keys'>): Iterable<ObjectKey> {
  return new Set([...registrations.list().map(objectKey), ...keys.list().map(registrationOf)]);
}
