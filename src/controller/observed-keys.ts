import type { LtiKey } from '../api/objects.ts';
import { keysIn, type Ledger, liveKeys } from '../domain/ledger.ts';
import { isCurrent } from '../domain/ledger-fault.ts';
import { isShownPublished } from '../domain/ltikeys.ts';
import type { Observation, RegistrationReading } from '../domain/situation.ts';
import { shortCachePeriod } from '../domain/timing.ts';
import type { Informer } from '../kube/informer.ts';
import { type ObjectKey, splitKey } from '../kube/objects.ts';
import type { Clock } from '../lib/clock.ts';
import type { PublicationObserver, WithdrawnKey } from './publication/observer.ts';

/** Selects the keys to look for on the replicas: those that they should serve, and those that they should no longer serve. */

export interface ObservationSources {
  readonly observer: PublicationObserver;
  readonly clock: Clock;
}

export const notObserved: Observation = {
  servedKeyIDs: new Set(),
  missingKeyIDs: new Set(),
  stillServed: new Map(),
  absentKeyIDs: new Set(),
  detail: 'it was not published yet',
  cacheLifetime: 0,
};

/** Looks only for keys that LtiKeys show as published, because publishers serve no others. */
export async function observe(
  sources: ObservationSources,
  key: ObjectKey,
  ltiKeys: readonly LtiKey[],
  shared: ReadonlyMap<string, readonly string[]>,
  ledger: Ledger | undefined,
  registration: RegistrationReading,
): Promise<Observation> {
  const { namespace, name } = splitKey(key);
  const published = new Set(ltiKeys.filter(isShownPublished).map(({ spec }) => spec.keyID));
  const live = ledger ? liveKeys(ledger).map(({ publicJWK }) => publicJWK) : [];
  const present = live.filter(({ kid }) => published.has(kid));
  const absent = withdrawnKeys(sources, ltiKeys, ledger, registration).filter(({ kid }) => !published.has(kid));
  if (present.length === 0 && absent.length === 0) return notObserved;
  const settled = ledger !== undefined && keysIn(ledger, 'Next').length === 0;
  return sources.observer.observe(namespace, name, { present, absent, shared: new Set(shared.keys()), settled });
}

/**
 * Keys that replicas may still serve and should not: those that the ledger records as revoked, and those that the spec revokes without
 * such a record, because the ledger cannot be used or written. The LtiKey of one of the latter may have been deleted, because its state
 * could not be written, and then only an unusable ledger may still have the key.
 */
function withdrawnKeys(
  { clock }: ObservationSources,
  ltiKeys: readonly LtiKey[],
  ledger: Ledger | undefined,
  registration: RegistrationReading,
): readonly WithdrawnKey[] {
  const since = clock.now().getTime() - shortCachePeriod;
  const recorded = ledger ? keysIn(ledger, 'Revoked') : [];
  const wanted = registration.kind === 'present' ? (registration.object.spec.revokedKeyIDs ?? []) : [];
  /** Whether each key of the registration is known. */
  const isComplete =
    ledger !== undefined && registration.kind === 'present' && isCurrent(ledger, ltiKeys, registration.object);
  const known = new Map([...(ledger?.keys ?? []), ...ltiKeys.map(({ spec }) => spec)].map((key) => [key.keyID, key]));
  return [
    ...recorded
      .filter(({ absentAt, revokedAt }) => absentAt === undefined || (revokedAt ?? 0) > since)
      .map(({ publicJWK }) => publicJWK),
    ...wanted
      .filter((kid) => recorded.every(({ keyID }) => keyID !== kid))
      .flatMap((kid) => known.get(kid)?.publicJWK ?? (isComplete ? [] : [{ kid }])),
  ];
}

/** Key ID → other registrations of the namespace that publish the same key. */
export function sharedWith(
  keys: Pick<Informer<LtiKey>, 'byIndex'>,
  key: ObjectKey,
  keyIDs: Iterable<string>,
): ReadonlyMap<string, readonly string[]> {
  const { namespace, name } = splitKey(key);
  const shared = [...new Set(keyIDs)].flatMap((keyID): [string, readonly string[]][] => {
    const others = keys
      .byIndex('keyID', `${namespace}/${keyID}`)
      .filter((other) => isShownPublished(other) && other.spec.registrationRef.name !== name)
      .map((other) => other.spec.registrationRef.name);
    return others.length > 0 ? [[keyID, others.toSorted()]] : [];
  });
  return new Map(shared);
}
