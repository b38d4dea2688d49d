import { ltiKeyName, namespacePath, registrationPath } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { KekProvider } from '../crypto/kek-provider.ts';
import { type Duration, type Instant, second } from '../domain/duration.ts';
import type { Ledger } from '../domain/ledger.ts';
import { ledgerEvidence } from '../domain/ltikeys.ts';
import { deliverySecretName, readRegistration, type Registration } from '../domain/registration.ts';
import {
  type KeyMaterial,
  type Fault,
  isFault,
  type LedgerReading,
  type RegistrationReading,
} from '../domain/situation.ts';
import type { TimingLimits } from '../domain/timing.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { type ObjectKey, splitKey } from '../kube/objects.ts';
import type { Clock } from '../lib/clock.ts';
import { type LastState, readGone, uncachedKeys } from './deletion-reading.ts';
import { keyMaterialOf, sealedUnder, sealingState } from './keys/key-material.ts';
import { type DeliveryReading, readDelivery } from './secrets/delivery-secret.ts';
import { readImports } from './secrets/import.ts';
import type { LedgerUsage } from './keks/kek-usage.ts';
import type { KeyGenerator } from './keys/key-generator.ts';
import { waitingPair } from './keys/waiting-pair.ts';
import type { Gathered } from './gathered.ts';
import { newestLedger, withTrace } from './secrets/ledger-reading.ts';
import type { OpenedKeys } from './keys/opened-keys.ts';
import { notObserved, observe, sharedWith } from './observed-keys.ts';
import type { FetchCollector } from './publication/fetch-collector.ts';
import type { PublicationObserver } from './publication/observer.ts';
import type { LedgerCache } from './secrets/ledger-cache.ts';
import { readRecipient } from './secrets/recipient.ts';
import type { OwnWrites } from './own-writes.ts';

/** Reads everything that a decision about a registration depends on, and writes nothing. What is unreadable becomes a fault. */

export interface Sources {
  readonly client: KubeClient;
  readonly registrations: Pick<Informer<LtiRegistration>, 'get'>;
  /** With the indexes of event-handlers.ts. */
  readonly keys: Pick<Informer<LtiKey>, 'byIndex' | 'scopeOf'>;
  readonly ownWrites: { readonly registrations: OwnWrites<LtiRegistration>; readonly keys: OwnWrites<LtiKey> };
  readonly ledgers: LedgerCache;
  /** The last state of registrations whose deletion this process saw. */
  readonly lastSeen: Map<ObjectKey, LtiRegistration>;
  readonly keks: KekProvider;
  readonly opened: OpenedKeys;
  readonly usage: LedgerUsage;
  readonly generator: Pick<KeyGenerator, 'take' | 'drop'>;
  readonly observer: PublicationObserver;
  readonly fetches: Pick<FetchCollector, 'fetches'>;
  readonly limits: TimingLimits;
  readonly publicUrl: string | undefined;
  readonly clock: Clock;
  /** Local clock minus the API server's, milliseconds; `undefined` before its first answer. */
  readonly clockSkew: () => Duration | undefined;
}

/** The sources of one pass. */
interface PassSources extends Sources {
  readonly failingFor: Duration;
}

/**
 * Returns `undefined` if nothing of this name exists.
 *
 * @param failingFor how long passes of this registration have failed
 */
export async function gather(
  sources: Sources,
  key: ObjectKey,
  failingFor: Duration = 0,
): Promise<Gathered | undefined> {
  const pass = { ...sources, failingFor };
  const { namespace, name } = splitKey(key);
  const stored = await readStored(pass, key);
  if (!stored) return forget(sources, key);
  const { object: _, record, deliveries, ...known } = stored;
  const { imports, recipient, pair, ...seen } = await readSurroundings(pass, key, stored);
  const skew = sources.clockSkew() ?? 0;
  const now = serverTime(sources.clock, skew);
  return {
    situation: {
      namespace,
      name,
      ...known,
      ...seen,
      fetches: sources.fetches.fetches(key, now),
      deliveries: new Map([...deliveries].map(([secretName, { state }]) => [secretName, state])),
      ...(recipient ? { recipient: isFault(recipient) ? recipient : { thumbprint: recipient.thumbprint } } : {}),
      ...(imports ? { imports: imports.state } : {}),
      ...(pair ? { pair: { facts: pair.facts, kekID: pair.kekID } } : {}),
      refused: new Map(),
      clockSkew: skew,
      limits: sources.limits,
      ...publicURLs(sources, namespace, name),
      now,
    },
    ...(record ? { record } : {}),
    secrets: new Map([...deliveries].flatMap(([secretName, { secret }]) => (secret ? [[secretName, secret]] : []))),
    ...(recipient && !isFault(recipient) ? { recipient } : {}),
    ...(pair ? { pair } : {}),
    failingFor,
  };
}

type Stored = NonNullable<Awaited<ReturnType<typeof readStored>>>;

/** The rest of the situation: imports, the recipient, the KEK that seals, the observation of the replicas, and the waiting pair. */
async function readSurroundings(sources: PassSources, key: ObjectKey, stored: Stored) {
  const { object, record, registration, ledger, ltiKeys } = stored;
  const isNew = ledger.kind === 'absent' && ledger.trace === undefined && object !== undefined;
  const revoked = object?.spec.revokedKeyIDs ?? [];
  const shared = sharedWith(sources.keys, key, [...ltiKeys.map(({ spec }) => spec.keyID), ...revoked]);
  const sealing = await sealingState(sources.keks);
  const [imports, recipient, observation] = await Promise.all([
    isNew ? readImports(sources.client, object, sources.failingFor) : undefined,
    object && readRecipient(object),
    registration.kind === 'present'
      ? observe(sources, key, ltiKeys, shared, record?.ledger, registration)
      : notObserved,
  ]);
  return {
    shared,
    ...sealing,
    imports,
    recipient,
    observation,
    pair: await waitingPair(sources, key, imports, record),
  };
}

function publicURLs({ publicUrl }: Sources, namespace: string, name: string) {
  if (publicUrl === undefined) return {};
  return {
    jwksURL: publicUrl + registrationPath(namespace, name),
    namespaceJwksURL: publicUrl + namespacePath(namespace),
  };
}

/** The stored state of the registration, read in the order that correctness requires. */
async function readStored(sources: PassSources, key: ObjectKey) {
  // Caches are read before the ledger: what they show was written after it, so it cannot be newer than what is read now.
  const cached = sources.registrations.get(key);
  const cachedKeys = sources.keys.byIndex('registration', key);
  const reading = await newestLedger(sources, key, cached, cachedKeys);
  const record = reading.kind === 'present' ? reading.record : undefined;
  const shown = shownKeys(sources, key, cachedKeys, record?.ledger);
  if (!cached && reading.kind === 'absent' && shown.length === 0) return undefined;
  const object = cached && sources.ownWrites.registrations.newest(key, cached);
  const registration = object
    ? presentReading(object)
    : await readGone(sources.client, key, lastState(sources.lastSeen.get(key)), record?.ledger, sources.failingFor);
  const uncached =
    registration.kind === 'gone' && record
      ? await uncachedKeys(sources.client, shown, record.ledger, sources.failingFor)
      : { keys: [] };
  const { keys, ...unread } = uncached;
  const ltiKeys = [...shown, ...keys];
  const keyMaterial = record
    ? await keyMaterialOf(record, sources.keks, sources.opened)
    : new Map<string, KeyMaterial>();
  const deliveries = await readDeliveries(sources, key, object, record?.ledger);
  const ledger: LedgerReading =
    reading.kind === 'present'
      ? { kind: 'present', ledger: reading.record.ledger }
      : await withTrace(sources, reading, ltiKeys, object, deliveries);
  if (record) sources.usage.read(key, sealedUnder(record));
  else if (ledger.kind === 'absent' && ledger.trace === undefined && !ledgerEvidence(ltiKeys))
    sources.usage.read(key, []);
  else sources.usage.unreadable(key);
  return { object, registration, record, ledger, ltiKeys, ...unread, keyMaterial, deliveries };
}

function forget({ usage, opened, lastSeen, generator }: Sources, key: ObjectKey): undefined {
  usage.forget(key);
  opened.forget(key);
  lastSeen.delete(key);
  generator.drop(key);
}

/** The `Date` header counts whole seconds, so a smaller difference means nothing. */
const measurableSkew: Duration = 2 * second;

/** The ledger records the API server's time, so that a wrong local clock does no damage. */
function serverTime(clock: Clock, skew: Duration): Instant {
  return clock.now().getTime() - (Math.abs(skew) < measurableSkew ? 0 : skew);
}

/** The newest known version of each LtiKey: the cache may lack what this process just wrote. */
function shownKeys(
  { ownWrites }: Sources,
  key: ObjectKey,
  cachedKeys: readonly LtiKey[],
  ledger: Ledger | undefined,
): readonly LtiKey[] {
  const { namespace } = splitKey(key);
  const cached = new Map(cachedKeys.map((one) => [one.metadata.name, one]));
  const recorded = ledger?.keys.map(({ revision }) => ltiKeyName(ledger.registration, revision)) ?? [];
  return [...new Set([...cached.keys(), ...recorded])].flatMap(
    (name) => ownWrites.keys.newest(`${namespace}/${name}`, cached.get(name)) ?? [],
  );
}

function presentReading(object: LtiRegistration): RegistrationReading {
  return { kind: 'present', object, registration: readOrFault(object) };
}

/** Returns a fault for a spec that the schema should have refused. */
function readOrFault(object: LtiRegistration): Registration | Fault {
  try {
    return readRegistration(object);
  } catch (error) {
    const message = `the operator cannot use the spec: ${error instanceof Error ? error.message : 'unknown'}; correct it`;
    return { reason: 'SpecInvalid', message };
  }
}

function lastState(seen: LtiRegistration | undefined): LastState {
  if (!seen) return {};
  const { deletionPolicy, revokedKeyIDs } = seen.spec;
  const last = { deletionPolicy: deletionPolicy ?? 'Retain', revokedKeyIDs: new Set(revokedKeyIDs) };
  const createdAt = Date.parse(seen.metadata.creationTimestamp ?? '');
  return { last, ...(Number.isNaN(createdAt) ? {} : { lastCreatedAt: createdAt }) };
}

/** The configured Secret and every Secret that the ledger or the status names, because the ledger may be unreadable or behind. */
async function readDeliveries(
  { client, lastSeen, failingFor }: PassSources,
  key: ObjectKey,
  object: LtiRegistration | undefined,
  ledger: Ledger | undefined,
): Promise<ReadonlyMap<string, DeliveryReading>> {
  const { namespace, name: registration } = splitKey(key);
  const last = object ?? lastSeen.get(key);
  const wanted = last && deliverySecretName(last);
  const recorded = ledger?.deliveries.map(({ secretName }) => secretName) ?? [];
  const shown = last?.status?.deliverySecretNames ?? [];
  const names = new Set([...recorded, ...shown, ...(wanted === undefined ? [] : [wanted])]);
  const readings = [...names].map(async (secretName) => {
    const kind = !object || secretName !== wanted ? 'any' : object.spec.delivery?.bundle ? 'bundle' : 'single';
    return [secretName, await readDelivery(client, { namespace, secretName, registration, kind, failingFor })] as const;
  });
  return new Map(await Promise.all(readings));
}
