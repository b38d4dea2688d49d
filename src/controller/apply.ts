import { isDeepStrictEqual } from 'node:util';
import { ltiKeys, ltiRegistrations, secrets } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { KekProvider } from '../crypto/kek-provider.ts';
import { announcementsBetween, type Effect, effectID, targetOf } from '../domain/effects.ts';
import { liveKeys } from '../domain/ledger.ts';
import type { KeySize } from '../domain/public-jwk.ts';
import type { KeyMaterial, Refusal } from '../domain/situation.ts';
import type { KubeClient } from '../kube/client.ts';
import { type ApiError, ifExists, isLostRace, isObjectNotFound, type TransportError } from '../kube/errors.ts';
import type { EventRecorder } from '../kube/events.ts';
import { type KubeObject, objectKey, type ResourceType } from '../kube/objects.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { openKey, reseal } from './keys/key-material.ts';
import { DeliveryClient } from './secrets/delivery-client.ts';
import { deliveryReading, writeDelivery } from './secrets/delivery-secret.ts';
import { isRefusedOrGivenUp } from './failed-requests.ts';
import { type Gathered, registrationKey, withLtiKey, withoutPair, withSituation } from './gathered.ts';
import type { KeyGenerator } from './keys/key-generator.ts';
import { createLedger, replaceLedger } from './secrets/ledger-secret.ts';
import type { LedgerCache } from './secrets/ledger-cache.ts';
import type { OwnWrites } from './own-writes.ts';
import { refusalOf } from './refusal.ts';
import { Reports } from './reports.ts';

/**
 * Carries out effects in the order in which they were decided, and decides nothing. A refused write becomes part of the
 * situation. A lost race is thrown, so that everything is read again.
 */

export interface ApplierOptions {
  readonly client: KubeClient;
  readonly keks: KekProvider;
  readonly generator: Pick<KeyGenerator, 'request' | 'drop'>;
  readonly ownWrites: { readonly registrations: OwnWrites<LtiRegistration>; readonly keys: OwnWrites<LtiKey> };
  readonly ledgers: Pick<LedgerCache, 'set' | 'delete'>;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics?: ApplierMetrics | undefined;
}

export interface ApplierMetrics {
  rotation(result: 'started' | 'activated'): void;
  /** @param resource its plural, such as `secrets` or `ltikeys/status` */
  refused(resource: string): void;
}

type EffectOf<Kind extends Effect['kind']> = Extract<Effect, { kind: Kind }>;

export class Applier {
  readonly #options: ApplierOptions;
  readonly #reports: Reports;
  readonly #deliveries: DeliveryClient;

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#reports = new Reports({ ...options, refused: (resource) => options.metrics?.refused(resource) });
    this.#deliveries = new DeliveryClient(options.client);
  }

  /** Carries out `effects` and returns what is known afterwards. */
  async apply(gathered: Gathered, effects: readonly Effect[]): Promise<Gathered> {
    let current = gathered;
    for (const effect of effects) {
      try {
        current = await this.#carryOut(current, effect);
      } catch (error) {
        if (!isRefusedOrGivenUp(error, gathered.failingFor)) throw error;
        current = this.#refused(current, effect, error);
        if (effect.kind !== 'writeLedger') continue;
        // A write without an answer may have succeeded: the next pass reads the ledger again.
        this.#options.ledgers.delete(registrationKey(gathered.situation));
        // The effects that follow would show and deliver a ledger that does not exist.
        return current;
      }
    }
    return current;
  }

  /** Writes the status if it changed. Returns the refusal if the API server does not have it. */
  async writeStatus(gathered: Gathered, status: NonNullable<LtiRegistration['status']>): Promise<Refusal | undefined> {
    const { situation } = gathered;
    const { registration } = situation;
    if (registration.kind !== 'present') return undefined;
    const { object } = registration;
    if ((object.status?.ledgerSerial ?? 0) > (status.ledgerSerial ?? 0)) return undefined;
    if (isDeepStrictEqual({ ...object.status, ledgerSerial: 0 }, { ...status, ledgerSerial: 0 })) return undefined;
    const { client, ownWrites } = this.#options;
    try {
      await ownWrites.registrations.write(objectKey(object), () =>
        client.replaceStatus(ltiRegistrations, { ...object, status }),
      );
    } catch (error) {
      if (!isRefusedOrGivenUp(error, gathered.failingFor)) throw error;
      return this.#reports.statusRefused(situation, error, object, status);
    }
    this.#reports.announce(situation, announcementsBetween(object.status, status));
    return undefined;
  }

  async #carryOut(gathered: Gathered, effect: Effect): Promise<Gathered> {
    const key = registrationKey(gathered.situation);
    switch (effect.kind) {
      case 'generate':
        // The waiting pair is not usable: the ledger has it, it has another size, or is sealed under another key-encryption key.
        if (gathered.pair) this.#options.generator.drop(key);
        // oxlint-disable-next-line no-unsafe-type-assertion -- the schema allows these sizes alone
        this.#options.generator.request(key, { size: effect.size as KeySize, urgent: effect.urgent });
        return withSituation(gathered, { generating: true });
      case 'writeLedger':
        return this.#writeLedger(gathered, effect);
      case 'removeLedger': {
        const { record, ...rest } = gathered;
        // Also if the deletion fails: a deletion that finalizers hold up changes the resourceVersion.
        this.#options.ledgers.delete(key);
        await this.#delete(secrets, record?.secret);
        return withSituation(rest, { ledger: { kind: 'absent' }, keyMaterial: new Map() });
      }
      case 'createKey':
        return withLtiKey(gathered, await this.#createKey(effect.key));
      case 'showKey':
        return this.#showKey(gathered, effect.key);
      case 'removeKey':
        return this.#removeKey(gathered, effect.key);
      case 'deliver':
        return this.#deliver(gathered, effect);
      default:
        return this.#removeDelivery(gathered, effect.secretName);
    }
  }

  async #writeLedger(gathered: Gathered, effect: EffectOf<'writeLedger'>): Promise<Gathered> {
    const { client, keks, generator, ledgers, metrics } = this.#options;
    const { record: previous, situation } = gathered;
    const { ledger, create, cause } = effect;
    const pair = effect.pair ? gathered.pair : undefined;
    const resealed = previous && effect.reseal.length > 0 ? await reseal(previous, effect.reseal, keks) : [];
    const sealed = [...resealed, ...(pair ? [{ keyID: pair.facts.keyID, jwe: pair.jwe, kekID: pair.kekID }] : [])];
    const record =
      previous && !create
        ? await replaceLedger(client, previous, ledger, sealed)
        : await createLedger(client, ledger, sealed);
    ledgers.set(registrationKey(situation), record);
    if (pair) generator.drop(registrationKey(situation));
    if (cause && !create) metrics?.rotation('started');
    for (const { reason } of effect.announcements)
      if (reason === 'KeyActivated' && ledger.highestRevision > 1) metrics?.rotation('activated');
    this.#reports.ledgerWritten(situation, ledger.serial, effect.reasons);
    if (cause && !create) {
      const message = `key ${pair!.facts.keyID} is being published and signs later (${cause})`;
      this.#reports.announce(situation, [{ type: 'Normal', reason: 'KeyCreated', message }]);
    }
    this.#reports.announce(situation, effect.announcements);
    const live = new Set(liveKeys(ledger).map(({ keyID }) => keyID));
    const keyMaterial = new Map<string, KeyMaterial>([
      ...[...situation.keyMaterial].filter(([keyID]) => live.has(keyID)),
      ...sealed.map(({ keyID, kekID }) => [keyID, { opens: true, kekID }] as const),
    ]);
    const after = withSituation({ ...gathered, record }, { ledger: { kind: 'present', ledger }, keyMaterial });
    return pair ? withoutPair(after) : after;
  }

  #createKey(key: LtiKey): Promise<LtiKey> {
    const { client, ownWrites } = this.#options;
    const { status: _, ...bare } = key;
    return this.#writeKey(key, () => ownWrites.keys.write(objectKey(key), () => client.create<LtiKey>(ltiKeys, bare)));
  }

  /** Writes the status of an LtiKey that exists; its creation may have been refused. */
  async #showKey(gathered: Gathered, key: LtiKey): Promise<Gathered> {
    const current = gathered.situation.ltiKeys.find(({ metadata }) => metadata.name === key.metadata.name);
    if (!current || !key.status) return gathered;
    const { client, ownWrites } = this.#options;
    const { status } = key;
    const stored = await this.#writeKey(current, () =>
      ownWrites.keys.write(objectKey(key), () => client.replaceStatus<LtiKey>(ltiKeys, { ...current, status })),
    );
    return withLtiKey(gathered, stored);
  }

  async #removeKey(gathered: Gathered, key: LtiKey): Promise<Gathered> {
    const known = gathered.situation.ltiKeys;
    const current = known.find(({ metadata }) => metadata.name === key.metadata.name);
    await this.#writeKey(key, () => this.#delete(ltiKeys, current));
    this.#options.ownWrites.keys.forget(objectKey(key));
    return withSituation(gathered, { ltiKeys: known.filter((other) => other !== current) });
  }

  /** If the cache is behind, perhaps because its watch fails, the next pass decides by what the API server has. */
  async #writeKey<T>(known: LtiKey, write: () => Promise<T>): Promise<T> {
    const { client, ownWrites } = this.#options;
    const { namespace, name } = known.metadata;
    try {
      return await write();
    } catch (error) {
      if (isLostRace(error) || isObjectNotFound(error))
        ownWrites.keys.correct(known, await ifExists(client.get<LtiKey>(ltiKeys, namespace, name)));
      throw error;
    }
  }

  async #deliver(gathered: Gathered, { content }: EffectOf<'deliver'>): Promise<Gathered> {
    const { keks } = this.#options;
    const { record, secrets: stored, recipient, situation } = gathered;
    const { namespace, name: registration } = situation;
    const row = record?.ledger.keys.find(({ keyID }) => keyID === content.keyID);
    const opened = record && row ? await openKey(record, row, keks) : undefined;
    if (content.keyID !== undefined && opened && !opened.privateKey) {
      // It opened when the situation was gathered. The next decision follows what is true now.
      const keyMaterial = new Map([...situation.keyMaterial, [content.keyID, opened.keyMaterial] as const]);
      return withSituation(gathered, { keyMaterial });
    }
    const signing = opened?.privateKey ? { privateKey: opened.privateKey, recipient } : undefined;
    const existing = stored.get(content.secretName);
    const secret = await writeDelivery(this.#deliveries, { namespace, registration }, content, existing, signing);
    const { state } = deliveryReading(secret, registration);
    return {
      ...gathered,
      secrets: new Map([...stored, [content.secretName, secret]]),
      situation: { ...situation, deliveries: new Map([...situation.deliveries, [content.secretName, state]]) },
    };
  }

  async #removeDelivery(gathered: Gathered, secretName: string): Promise<Gathered> {
    const secret = gathered.secrets.get(secretName);
    if (secret) await ifExists(this.#deliveries.delete(secret));
    const { deliveries } = gathered.situation;
    const secretsLeft = new Map([...gathered.secrets].filter(([name]) => name !== secretName));
    const absent = new Map([...deliveries, [secretName, { kind: 'absent' }] as const]);
    return withSituation({ ...gathered, secrets: secretsLeft }, { deliveries: absent });
  }

  /** Deletes the version of the object that was read; succeeds if the object is already gone. */
  async #delete(type: ResourceType, object: KubeObject | undefined): Promise<void> {
    if (object) await ifExists(this.#options.client.delete(type, object));
  }

  #refused(gathered: Gathered, effect: Effect, error: ApiError | TransportError): Gathered {
    const { situation } = gathered;
    const { resource, ...target } = targetOf(situation.namespace, situation.name, effect);
    const refusal = refusalOf(error, target);
    this.#reports.refusal(situation, refusal, resource);
    return withSituation(gathered, { refused: new Map([...situation.refused, [effectID(effect), refusal]]) });
  }
}
