import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import { isShownPublished } from '../domain/ltikeys.ts';
import type { Informer } from '../kube/informer.ts';
import { objectKey, type ObjectKey } from '../kube/objects.ts';
import type { Priority } from '../kube/workqueue.ts';
import { wentBack, type OwnWrites } from './own-writes.ts';

/** Which change makes which registration be looked at, and how urgently. Keys only: a reconcile reads the world. */

/** `namespace/name` of the registration that an LtiKey belongs to; also the index by which keys are found. */
export function registrationOf({ metadata, spec }: LtiKey): ObjectKey {
  return `${metadata.namespace}/${spec.registrationRef.name}`;
}

/** `namespace/keyID`: by it the registrations are found that share a key. */
export function keyIDOf({ metadata, spec }: LtiKey): string {
  return `${metadata.namespace}/${spec.keyID}`;
}

export const ltiKeyIndexers = { registration: registrationOf, keyID: keyIDOf };

export interface Watched {
  readonly registrations: Informer<LtiRegistration>;
  readonly keys: Informer<LtiKey>;
  readonly written: { readonly registrations: OwnWrites<LtiRegistration>; readonly keys: OwnWrites<LtiKey> };
  /** Registrations that this process saw go, as they were at last; few, for each is forgotten when nothing is left of it. */
  readonly lastSeen: Map<ObjectKey, LtiRegistration>;
}

/** Tells which registrations are to be looked at: those with a change that this process did not write. */
export function watch({ registrations, keys, written, lastSeen }: Watched, changed: (key: ObjectKey) => void): void {
  registrations.onChange(({ type, object, previous }) => {
    const key = objectKey(object);
    if (type === 'deleted') lastSeen.set(key, object);
    else lastSeen.delete(key);
    if (type !== 'deleted' && !wentBack(object, previous)) {
      return written.registrations.unlessOwn(object, () => changed(key));
    }
    written.registrations.forget(key);
    changed(key);
  });
  keys.onChange(({ type, object, previous }) => {
    if (type !== 'deleted' && !wentBack(object, previous)) {
      return written.keys.unlessOwn(object, () => changed(registrationOf(object)));
    }
    written.keys.forget(objectKey(object));
    changed(registrationOf(object));
  });
}

/** Revocations and removals first, then what was begun, then new registrations. */
export function priorityOf({ registrations, keys }: Pick<Watched, 'registrations' | 'keys'>, key: ObjectKey): Priority {
  const object = registrations.get(key);
  if (!object) return 0;
  const shown = keys.byIndex('registration', key);
  if (awaitsRevocation(object, () => shown)) return 0;
  return shown.length === 0 && object.status?.activeKey === undefined ? 2 : 1;
}

/** Whether a key that its owner wants revoked is still shown as published. */
export function awaitsRevocation({ spec }: LtiRegistration, shown: () => readonly LtiKey[]): boolean {
  const revoked = spec.revokedKeyIDs ?? [];
  return revoked.length > 0 && shown().some((one) => isShownPublished(one) && revoked.includes(one.spec.keyID));
}

/** Every registration that is known, also those of which only LtiKeys are left. */
export function knownRegistrations({
  registrations,
  keys,
}: Pick<Watched, 'registrations' | 'keys'>): Iterable<ObjectKey> {
  return new Set([...registrations.list().map(objectKey), ...keys.list().map(registrationOf)]);
}
