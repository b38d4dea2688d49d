import type { KeyObject } from 'node:crypto';
import { ltiKeys } from '../../api/names.ts';
import type { LtiKey, LtiRegistration } from '../../api/objects.ts';
import type { KekProvider } from '../../crypto/keyring.ts';
import type { Instant } from '../../domain/duration.ts';
import { publishedStates } from '../../domain/jwk.ts';
import { emptyLedger, type Ledger, liveKeys } from '../../domain/ledger.ts';
import { readRegistration } from '../../domain/registration.ts';
import type { Custody, Fault, Observation, Situation } from '../../domain/situation.ts';
import type { TimingLimits } from '../../domain/timing.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Collection } from '../../kube/collection.ts';
import type { ObjectKey } from '../../kube/objects.ts';
import { objectKey, splitKey } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import { openKeys, sealedUnder, sealingState } from '../custody.ts';
import type { LedgerUsage } from '../kek-usage.ts';
import { readImports } from '../import.ts';
import { type DeliveryReading, isOurs, readDelivery } from '../delivery-secret.ts';
import { getSecret, type LedgerRecord, readLedger } from '../ledger-secret.ts';
import type { PublicationObserver } from '../publication/observer.ts';
import type { Written } from '../written.ts';

/** Reads everything that a decision about a registration depends on, and writes nothing. */

export interface Sources {
  readonly client: KubeClient;
  readonly registrations: Pick<Collection<LtiRegistration>, 'get'>;
  /** With the index `registration`: keys by the `namespace/name` of theirs. */
  readonly keys: Pick<Collection<LtiKey>, 'byIndex'>;
  readonly writtenRegistrations: Written<LtiRegistration>;
  readonly keks: KekProvider;
  readonly usage?: LedgerUsage;
  readonly observer: PublicationObserver;
  readonly limits: TimingLimits;
  readonly clock: Clock;
  /** Local clock minus the API server's, milliseconds. */
  readonly clockSkew: () => number;
}

export type Gathered =
  | { readonly kind: 'absent' }
  | { readonly kind: 'faulty'; readonly object: LtiRegistration; readonly fault: Fault }
  | ReadableRegistration;

export interface ReadableRegistration {
  readonly kind: 'readable';
  readonly object: LtiRegistration;
  /** Undefined for a registration that has no ledger yet. */
  readonly record: LedgerRecord | undefined;
  readonly situation: Situation;
  readonly delivery: DeliveryReading;
  readonly privateKeys: ReadonlyMap<string, KeyObject>;
  /** Of a former system; becomes revision 1. */
  readonly importedKey?: KeyObject;
}

export async function gather(sources: Sources, key: ObjectKey): Promise<Gathered> {
  const { client, registrations, keys, writtenRegistrations } = sources;
  const object = writtenRegistrations.newest(key, registrations.get(key));
  if (!object || !registrations.get(key)) return { kind: 'absent' };
  const { namespace, name } = splitKey(key);
  // The faces are read before the ledger: they are written after it, so what they show cannot be newer than it.
  const faces = keys.byIndex('registration', key);
  const reading = await readLedger(client, namespace, name);
  const faulty = (fault: Fault): Gathered => {
    sources.usage?.unreadable(key);
    return { kind: 'faulty', object, fault };
  };
  if (reading.kind === 'faulty') return faulty(reading.fault);
  if (reading.kind === 'absent') {
    const shown = object.status?.activeKey !== undefined || faces.length > 0;
    const lost = shown || (await hasKeys(client, namespace, name)) || (await wasDelivered(client, object));
    if (lost) return faulty(missingLedger(namespace, name));
    sources.usage?.forget(key);
    return readable(sources, object, undefined, emptyLedger(namespace, name), faces);
  }
  const { record } = reading;
  const fault = rollback(record.ledger, object, faces);
  return fault ? faulty(fault) : readable(sources, object, record, record.ledger, faces);
}

async function readable(
  sources: Sources,
  object: LtiRegistration,
  record: LedgerRecord | undefined,
  ledger: Ledger,
  faces: readonly LtiKey[],
): Promise<ReadableRegistration> {
  const { client, keks, clock, limits, clockSkew } = sources;
  const registration = readRegistration(object);
  const none = { custody: new Map<string, Custody>(), privateKeys: new Map<string, KeyObject>() };
  const { custody, privateKeys } = record ? await openKeys(record, keks) : none;
  if (record) sources.usage?.read(objectKey(object), sealedUnder(record));
  const [imports, delivery, observation, sealing] = await Promise.all([
    record ? undefined : readImports(client, object),
    readDelivery(client, ledger, object),
    observe(sources, ledger, faces),
    sealingState(keks),
  ]);
  const situation: Situation = {
    registration,
    ledger,
    custody,
    observation,
    delivery: delivery.state,
    ...(imports ? { imports: imports.state } : {}),
    ...sealing,
    clockSkew: clockSkew(),
    limits,
    now: clock.now().getTime(),
  };
  const importedKey = imports?.privateKey ? { importedKey: imports.privateKey } : {};
  return { kind: 'readable', object, record, situation, delivery, privateKeys, ...importedKey };
}

/**
 * The situation after its ledger was written: what was read, opened and observed a moment ago still holds. `sealed` is
 * the key that the write added.
 */
export function withLedger(
  gathered: ReadableRegistration,
  record: LedgerRecord,
  now: Instant,
  sealed?: { readonly keyID: string; readonly kekID: string; readonly privateKey: KeyObject },
): ReadableRegistration {
  const { ledger } = record;
  const live = new Set(liveKeys(ledger).map(({ keyID }) => keyID));
  const custody = new Map([...gathered.situation.custody].filter(([keyID]) => live.has(keyID)));
  const privateKeys = new Map([...gathered.privateKeys].filter(([keyID]) => live.has(keyID)));
  if (sealed) {
    custody.set(sealed.keyID, { opens: true, kekID: sealed.kekID });
    privateKeys.set(sealed.keyID, sealed.privateKey);
  }
  return { ...gathered, record, privateKeys, situation: { ...gathered.situation, ledger, custody, now } };
}

/** Only keys that the cache shows as published are looked for: what publishers cannot know yet, nobody can serve. */
async function observe({ observer }: Sources, ledger: Ledger, faces: readonly LtiKey[]): Promise<Observation> {
  const shown = new Set(
    faces.flatMap(({ spec, status }) => (status?.state && publishedStates.has(status.state) ? [spec.keyID] : [])),
  );
  const published = liveKeys(ledger).flatMap(({ keyID, publicJWK }) => (shown.has(keyID) ? [publicJWK] : []));
  if (published.length === 0) return { servedKeyIDs: new Set(), detail: 'it was not published yet', cacheLifetime: 0 };
  return observer.observe(ledger.namespace, ledger.registration, published);
}

/** The live answer, for a mint must not rest on a cache. */
async function hasKeys(client: KubeClient, namespace: string, registration: string): Promise<boolean> {
  const fieldSelector = `spec.registrationRef.name=${registration}`;
  const { items } = await client.list<LtiKey>(ltiKeys, { namespace, fieldSelector, limit: 1 });
  return items.length > 0;
}

/** A backup may bring the delivery Secret back before the ledger: keys were made, although nothing else tells of them. */
async function wasDelivered(client: KubeClient, { metadata, spec }: LtiRegistration): Promise<boolean> {
  const secretName = spec.delivery?.secretName;
  const secret = secretName === undefined ? undefined : await getSecret(client, metadata.namespace!, secretName);
  return secret !== undefined && isOurs(secret, metadata.name);
}

function missingLedger(namespace: string, name: string): Fault {
  return {
    reason: 'LedgerMissing',
    message: `Secret ${namespace}/${name}-lti-keys, the ledger with the private keys, is gone although keys were made. Restore it from a backup; no new key is made over a loss. docs/recovery.md tells how to give the keys up instead`,
  };
}

/** A ledger older than its own projections was restored from a backup that lacks what happened since. */
function rollback(ledger: Ledger, object: LtiRegistration, faces: readonly LtiKey[]): Fault | undefined {
  const seen = Math.max(object.status?.ledgerSerial ?? 0, ...faces.map(({ status }) => status?.ledgerSerial ?? 0));
  if (ledger.serial >= seen) return undefined;
  return {
    reason: 'LedgerRolledBack',
    message: `Secret ${ledger.namespace}/${ledger.registration}-lti-keys has serial ${ledger.serial}, but serial ${seen} was already acted on: an older copy was restored over it. Restore the newest copy; docs/recovery.md tells how to go on with an older one`,
  };
}
