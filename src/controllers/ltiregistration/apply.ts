import type { KeyObject } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { ltiKeyName, ltiRegistrations, registrationPath } from '../../api/names.ts';
import type { LtiKey, LtiRegistration } from '../../api/objects.ts';
import { generateKeyPair, type KeySize } from '../../crypto/key-pair.ts';
import type { KekProvider } from '../../crypto/keyring.ts';
import { seal } from '../../crypto/seal.ts';
import { type Plan, withKey } from '../../domain/key-plan.ts';
import type { KeyFacts, Ledger } from '../../domain/ledger.ts';
import { faultedStatus, keyObject, registrationStatus } from '../../domain/projection.ts';
import type { Fault } from '../../domain/situation.ts';
import type { Transition } from '../../domain/transition.ts';
import type { KubeClient } from '../../kube/client.ts';
import { isRefusal } from '../../kube/errors.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { objectKey, type ObjectKey } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import { applyDelivery } from '../delivery-secret.ts';
import { resealKeys } from '../custody.ts';
import { createLedger, type LedgerRecord, replaceLedger } from '../ledger-secret.ts';
import type { KeyWriter } from '../ltikey/apply.ts';
import type { Written } from '../written.ts';
import type { ReadableRegistration } from './gather.ts';
import { markAll } from './removal.ts';

/** Writes what was decided. Each method is idempotent; whoever loses a race throws a conflict and reads again. */

export interface ApplierOptions {
  readonly client: KubeClient;
  readonly keks: KekProvider;
  readonly writer: KeyWriter;
  readonly written: Written<LtiRegistration>;
  readonly events: EventRecorder;
  readonly clock: Clock;
  /** Has an LtiKey looked at that the ledger does not know. */
  readonly enqueueKey: (key: ObjectKey) => void;
  readonly rotation: (result: 'started' | 'activated') => void;
  /** Base of the URLs that platforms are given, without a trailing slash. */
  readonly publicUrl?: string;
}

/** Steps that people want to be told of; the others show in conditions and metrics. */
const announced: ReadonlySet<Transition['reason']> = new Set([
  'KeyActivated',
  'KeyRetired',
  'KeyRevoked',
  'KeyDiscarded',
  'RotationRequested',
]);

export class RegistrationApplier {
  readonly #options: ApplierOptions;

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  async writeLedger(gathered: ReadableRegistration, decision: Plan): Promise<LedgerRecord> {
    const { client, events } = this.#options;
    const record = await replaceLedger(client, gathered.record!, decision.ledger);
    for (const { reason, message } of decision.transitions) {
      if (reason === 'KeyActivated') this.#options.rotation('activated');
      // Of a first key the status tells; nothing was rotated.
      const first = reason === 'KeyActivated' && gathered.record!.ledger.highestRevision === 1;
      if (announced.has(reason) && !first) events.record(gathered.object, 'Normal', reason, 'Rotate', message);
    }
    return record;
  }

  /** Generates or imports the key pair that the plan asks for, seals it and stores it with its row, in one write. */
  async writeKey(
    gathered: ReadableRegistration,
    request: NonNullable<Plan['generate']>,
  ): Promise<{ record: LedgerRecord; sealed: { keyID: string; kekID: string; privateKey: KeyObject } }> {
    const { client, keks, events } = this.#options;
    const { situation, record: previous, object } = gathered;
    const { namespace, name } = situation.registration;
    const { facts, privateKey } = await newKey(gathered, request);
    const { keyID, publicJWK } = facts;
    const { jwe, kekID } = await seal(privateKey, { namespace, registration: name, keyID, publicJWK }, keks);
    const ledger = withKey(situation, facts, request.cause);
    const record = await (previous
      ? replaceLedger(client, previous, ledger, [{ keyID, jwe }])
      : createLedger(client, ledger, { keyID, jwe }));
    if (previous) {
      this.#options.rotation('started');
      const note = `key ${keyID} is being published and signs later (${request.cause})`;
      events.record(object, 'Normal', 'KeyCreated', 'Rotate', note);
    }
    return { record, sealed: { keyID, kekID, privateKey } };
  }

  /** Seals keys anew under the present key-encryption key. */
  reseal({ record }: ReadableRegistration, keyIDs: readonly string[]): Promise<LedgerRecord> {
    return resealKeys(this.#options.client, record!, keyIDs, this.#options.keks);
  }

  /** Shows every key of the ledger as an LtiKey, and has the others looked into. */
  async showKeys(gathered: ReadableRegistration, faces: readonly LtiKey[]): Promise<void> {
    const { writer, clock, enqueueKey } = this.#options;
    const { ledger, custody } = gathered.situation;
    const names = new Set(ledger.keys.map(({ revision }) => ltiKeyName(ledger.registration, revision)));
    for (const face of faces) if (!names.has(face.metadata.name)) enqueueKey(objectKey(face));
    const shown = ledger.keys.map((key) => {
      const before = faces.find(({ spec }) => spec.keyID === key.keyID);
      return keyObject(ledger, key, custody.get(key.keyID), before?.status, clock.now().getTime());
    });
    // All are there before the first is published, and the Active one comes last: until then publishers that have published
    // none of them wait for the others (see publish/published-keys.ts).
    for (const key of shown) await writer.create(key);
    const isActive = ({ status }: LtiKey): boolean => status?.state === 'Active';
    for (const key of shown) if (!isActive(key)) await writer.show(key);
    for (const key of shown) if (isActive(key)) await writer.show(key);
  }

  /** Whether anything changed, so that the situation has to be read again. */
  deliver(
    { object, situation, delivery: reading, privateKeys }: ReadableRegistration,
    ledger: Ledger,
  ): Promise<boolean> {
    const jwksURL = this.#jwksURL(ledger.namespace, ledger.registration);
    const { servedKeyIDs } = situation.observation;
    return applyDelivery(this.#options.client, { object, ledger, reading, privateKeys, servedKeyIDs, jwksURL });
  }

  /** What the status says of a delivery Secret that the API server refuses, for good as it seems. */
  async showRefusedDelivery(gathered: ReadableRegistration, decision: Plan, error: unknown): Promise<void> {
    if (!isRefusal(error)) return;
    const { namespace, deliverySecretName } = gathered.situation.registration;
    const leftovers = gathered.delivery.leftovers.map(({ metadata }) => metadata.name);
    const names = [...(deliverySecretName === undefined ? [] : [deliverySecretName]), ...leftovers];
    const message = `Secret ${names.map((name) => `${namespace}/${name}`).join(' or ')} cannot be written or deleted: the API server refuses it (${error.status} ${error.reason}); see to quota, admission policies and whether the Secret is immutable. The tool keeps what it has, and it is tried again`;
    const fault = { reason: 'DeliveryRefused', message };
    await this.showStatus({ ...gathered, delivery: { ...gathered.delivery, fault } }, decision);
  }

  async showStatus({ object, situation, delivery }: ReadableRegistration, decision: Plan): Promise<void> {
    const { namespace, name } = situation.registration;
    const jwksURL = this.#jwksURL(namespace, name);
    const outcome = {
      situation,
      plan: decision,
      ...(delivery.fault ? { deliveryFault: delivery.fault } : {}),
      ...(jwksURL === undefined ? {} : { jwksURL }),
    };
    const status = registrationStatus(outcome, object.status);
    await this.#replaceStatus(object, status);
  }

  /** The ledger cannot be used: the registration and its keys say so, and nothing else is written. */
  async showFault(object: LtiRegistration, faces: readonly LtiKey[], fault: Fault): Promise<void> {
    const { writer, clock } = this.#options;
    const live = faces.filter(({ status }) => status?.conditions?.some(({ type }) => type === 'KeyMaterialAvailable'));
    await markAll(writer, live, 'KeyMaterialAvailable', { status: 'False', ...fault });
    const now = clock.now().getTime();
    await this.#replaceStatus(object, faultedStatus(object.metadata.generation ?? 0, fault, object.status, now));
  }

  #jwksURL(namespace: string, name: string): string | undefined {
    const { publicUrl } = this.#options;
    return publicUrl === undefined ? undefined : publicUrl + registrationPath(namespace, name);
  }

  async #replaceStatus(object: LtiRegistration, status: NonNullable<LtiRegistration['status']>): Promise<void> {
    if ((object.status?.ledgerSerial ?? 0) > (status.ledgerSerial ?? 0)) return;
    if (isDeepStrictEqual({ ...object.status, ledgerSerial: 0 }, { ...status, ledgerSerial: 0 })) return;
    const { client, written, events } = this.#options;
    written.remember(await client.replaceStatus<LtiRegistration>(ltiRegistrations, { ...object, status }));
    for (const type of ['Stalled', 'ActionRequired'] as const) {
      const now = status.conditions?.find((condition) => condition.type === type);
      const before = object.status?.conditions?.find((condition) => condition.type === type);
      if (now?.status !== 'True' || (before?.status === 'True' && before.reason === now.reason)) continue;
      events.record(object, 'Warning', now.reason, 'Reconcile', now.message);
    }
  }
}

async function newKey(
  { situation, importedKey }: ReadableRegistration,
  { cause, size }: NonNullable<Plan['generate']>,
): Promise<{ facts: KeyFacts; privateKey: KeyObject }> {
  const facts = situation.imports?.signing;
  if (cause === 'Import' && facts && 'keyID' in facts && importedKey) return { facts, privateKey: importedKey };
  if (cause === 'Import') throw new Error('the plan imports a key that was not read');
  const pair = await generateKeyPair(size as KeySize);
  return { facts: pair, privateKey: pair.privateKey };
}
