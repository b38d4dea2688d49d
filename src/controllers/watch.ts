import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { Duration } from '../domain/duration.ts';
import type { Collection } from '../kube/collection.ts';
import { objectKey, type ObjectKey } from '../kube/objects.ts';
import type { Clock } from '../lib/clock.ts';
import { wentBack, type Written } from './written.ts';

/** Which change makes which object be looked at. Keys only: a reconcile reads the world. */

/** `namespace/name` of the registration that an LtiKey belongs to; also the index by which keys are found. */
export function registrationOf({ metadata, spec }: LtiKey): ObjectKey {
  return `${metadata.namespace}/${spec.registrationRef.name}`;
}

/** Every registration that the caches know, also those of which only LtiKeys are left. */
export function knownRegistrations(
  registrations: Pick<Collection<LtiRegistration>, 'list'>,
  keys: Pick<Collection<LtiKey>, 'list'>,
): ReadonlySet<ObjectKey> {
  return new Set([...registrations.list().map(objectKey), ...keys.list().map(registrationOf)]);
}

/** How registrations that this process saw go wanted it; few, for they are forgotten when they return. */
export type LastPolicies = Map<ObjectKey, LtiRegistration['spec']['deletionPolicy']>;

export function watchRegistrations(
  registrations: Pick<Collection<LtiRegistration>, 'onChange'>,
  written: Written<LtiRegistration>,
  lastPolicies: LastPolicies,
  enqueue: (key: ObjectKey) => void,
): void {
  registrations.onChange(({ type, object, previous }) => {
    if (type === 'deleted') lastPolicies.set(objectKey(object), object.spec.deletionPolicy);
    else lastPolicies.delete(objectKey(object));
    if (type === 'deleted' || wentBack(object, previous)) written.forget(objectKey(object));
    else if (written.isOwn(object)) return;
    enqueue(objectKey(object));
  });
}

/** A watch may tell of an own write before its answer is here; after this long the two can be told apart. */
const ownWriteSettles: Duration = 100;

/** A change of an LtiKey that the operator did not write is looked into; its end concerns the registration as well. */
export function watchKeys(
  keys: Pick<Collection<LtiKey>, 'onChange'>,
  written: Written<LtiKey>,
  clock: Clock,
  enqueue: { readonly key: (key: ObjectKey) => void; readonly registration: (key: ObjectKey) => void },
): void {
  keys.onChange(({ type, object, previous }) => {
    if (wentBack(object, previous)) written.forget(objectKey(object));
    if (type === 'deleted') {
      written.forget(objectKey(object));
      enqueue.key(objectKey(object));
      enqueue.registration(registrationOf(object));
    } else if (!written.isOwn(object)) {
      clock.setTimer(() => {
        if (!written.isOwn(object)) enqueue.key(objectKey(object));
      }, ownWriteSettles);
    }
  });
}
