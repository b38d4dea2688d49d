import { webcrypto } from 'node:crypto';
import {
  customResourceDefinitions,
  ltiKeys,
  ltiRegistrations,
  registrationDefinitionName,
} from '../../src/api/names.ts';
import type { LtiKey, LtiRegistration } from '../../src/api/objects.ts';
import { Applier } from '../../src/controller/apply.ts';
import type { Sources } from '../../src/controller/gather.ts';
import { sealPair } from '../../src/controller/keys/key-material.ts';
import { KeyGenerator } from '../../src/controller/keys/key-generator.ts';
import { OpenedKeys } from '../../src/controller/keys/opened-keys.ts';
import { OwnWrites } from '../../src/controller/own-writes.ts';
import { reconciler, type ReconcilerOptions } from '../../src/controller/reconcile.ts';
import { LedgerCache } from '../../src/controller/secrets/ledger-cache.ts';
import type { KekError } from '../../src/crypto/errors.ts';
import type { Kek, KekProvider, KekStatus } from '../../src/crypto/kek-provider.ts';
import { generateKeyPair, type KeyPair } from '../../src/crypto/key-pair.ts';
import { hour, minute } from '../../src/domain/duration.ts';
import type { Scope } from '../../src/kube/informer.ts';
import type { Result } from '../../src/kube/controller.ts';
import { splitKey } from '../../src/kube/objects.ts';
import { anObservation } from '../builders/situation.ts';
import { FakeClock } from './fake-clock.ts';
import { MemoryObjects } from './memory-objects.ts';
import { recordingLog } from './recording-log.ts';

export const registrationKey = 'gradebook/canvas';

/** KEK `kek-1` in memory. */
export class MemoryKeks implements KekProvider {
  readonly #key = webcrypto.subtle.importKey('raw', new Uint8Array(32).fill(1), 'AES-KW', false, [
    'wrapKey',
    'unwrapKey',
  ]);
  /** Why the key cannot be used. */
  problem: KekError | undefined;

  async status(): Promise<KekStatus> {
    return this.problem
      ? { sealingKekID: undefined, problems: [this.problem] }
      : { sealingKekID: 'kek-1', problems: [] };
  }

  async sealingKey(): Promise<Kek> {
    if (this.problem) throw this.problem;
    return { id: 'kek-1', key: await this.#key, confirm: () => undefined, isConfirmed: () => true };
  }

  openingKey(): Promise<Kek> {
    return this.sealingKey();
  }
}

let made: Promise<readonly KeyPair[]> | undefined;

/** Two RSA key pairs, generated once for all tests. */
export function keyPairs(): Promise<readonly KeyPair[]> {
  made ??= Promise.all([generateKeyPair(2048), generateKeyPair(2048)]);
  return made;
}

/** What outlives the process. */
export interface Stored {
  readonly objects: MemoryObjects;
  readonly clock: FakeClock;
  /** The next key pair; one of two, in turns, if omitted. */
  readonly generate?: () => Promise<KeyPair>;
}

/**
 * The operator of one registration, `gradebook/canvas`, without an API server: its caches show every write at once, replicas
 * serve what LtiKeys show as published, and time stands still.
 */
export class MemoryOperator {
  readonly objects: MemoryObjects;
  readonly clock: FakeClock;
  readonly keks = new MemoryKeks();
  readonly recorded = recordingLog();
  readonly announced: string[] = [];
  readonly refusedResources: string[] = [];
  readonly rotations: string[] = [];
  readonly sources: Sources;
  readonly applier: Applier;
  readonly generator: KeyGenerator;
  #generated = 0;
  #reconcile: ReturnType<typeof reconciler> | undefined;
  #ready = Promise.withResolvers<void>();

  constructor(
    more: Partial<Sources> = {},
    stored: Stored = { objects: new MemoryObjects(), clock: new FakeClock('2026-03-01T00:00:00.000Z') },
  ) {
    this.objects = stored.objects;
    this.clock = stored.clock;
    const { objects, clock, keks } = this;
    this.installDefinition('2026-01-01T00:00:00Z');
    const client = objects.client;
    this.generator = new KeyGenerator({
      seal: (key, pair) => sealPair(key, pair, keks),
      ready: () => this.#ready.resolve(),
      generate: stored.generate ?? (async () => (await keyPairs())[this.#generated++ % 2]!),
    });
    const ownWrites = { registrations: new OwnWrites<LtiRegistration>(), keys: new OwnWrites<LtiKey>() };
    const ledgers = new LedgerCache(clock);
    this.sources = {
      client,
      registrations: { get: (key) => objects.find(ltiRegistrations, splitKey(key).namespace, splitKey(key).name) },
      keys: {
        byIndex: (index) => (index === 'registration' ? objects.all(ltiKeys) : []),
        // oxlint-disable-next-line no-unsafe-type-assertion -- gather asks it for nothing else
        scopeOf: () => ({ connected: () => true }) as Scope<LtiKey>,
      },
      ownWrites,
      ledgers,
      lastSeen: new Map(),
      keks,
      opened: new OpenedKeys(),
      usage: { read: () => undefined, unreadable: () => undefined, forget: () => undefined },
      generator: this.generator,
      observer: {
        isAnyUnresponsive: () => false,
        observe: async (_namespace, _registration, { present, absent }) =>
          anObservation(
            present.map(({ kid }) => kid),
            { absentKeyIDs: new Set(absent.map(({ kid }) => kid)) },
          ),
      },
      fetches: { fetches: () => ({ complete: false }) },
      limits: { minimumOverlap: hour },
      publicUrl: undefined,
      clock,
      clockSkew: () => 0,
      ...more,
    };
    this.applier = new Applier({
      client,
      keks,
      generator: this.generator,
      ownWrites,
      ledgers,
      events: { record: (_regarding, type, reason) => void this.announced.push(`${type} ${reason}`) },
      log: this.recorded.log,
      clock,
      metrics: {
        rotation: (result) => void this.rotations.push(result),
        refused: (resource) => void this.refusedResources.push(resource),
      },
    });
  }

  /** The CustomResourceDefinition of registrations, in place of another one. */
  installDefinition(creationTimestamp: string, more: { readonly deletionTimestamp?: string } = {}): void {
    const metadata = { name: registrationDefinitionName, creationTimestamp, ...more };
    this.objects.put(customResourceDefinitions, { metadata });
  }

  /** The registration as its owner applies it. */
  apply(registration: LtiRegistration): void {
    const before = this.registration();
    this.objects.put(ltiRegistrations, { ...registration, ...(before?.status ? { status: before.status } : {}) });
  }

  /** The owner deletes the registration; `seen`: this process saw it go. */
  deleteRegistration({ seen = true } = {}): void {
    const last = this.registration();
    this.objects.remove(ltiRegistrations, 'gradebook', 'canvas');
    if (seen && last) this.sources.lastSeen.set(registrationKey, last);
  }

  registration(): LtiRegistration | undefined {
    return this.objects.find<LtiRegistration>(ltiRegistrations, 'gradebook', 'canvas');
  }

  keys(): readonly LtiKey[] {
    return this.objects.all<LtiKey>(ltiKeys);
  }

  /** `more`: other options for this pass, in which nothing is known of earlier ones. */
  reconcile(more?: Partial<ReconcilerOptions>): Promise<Result> {
    const { sources, applier } = this;
    const options = { sources, applier, resync: 30 * minute, registrations: () => 1 };
    if (more) return reconciler({ ...options, ...more })(registrationKey);
    this.#reconcile ??= reconciler(options);
    return this.#reconcile(registrationKey);
  }

  /** Reconciles until nothing is left to do, and forgets the calls that it took. */
  async settle(): Promise<void> {
    for (let pass = 0; pass < 10; pass++) {
      const { length } = this.objects.writes;
      await this.reconcile();
      await this.keyPair();
      if (this.objects.writes.length === length && !this.generator.take(registrationKey)) break;
    }
    this.objects.writes.length = 0;
    this.objects.reads.length = 0;
  }

  /** Waits for the key pair that was requested, if any. */
  async keyPair(): Promise<void> {
    if (this.generator.pending === 0) return;
    await this.#ready.promise;
    this.#ready = Promise.withResolvers();
  }
}
