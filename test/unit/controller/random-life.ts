import { ltiKeys, ltiRegistrations } from '../../../src/api/names.ts';
import type { LtiKey, LtiRegistration } from '../../../src/api/objects.ts';
import { addEventHandlers, ltiKeyIndexers, type Watched } from '../../../src/controller/event-handlers.ts';
import type { Sources } from '../../../src/controller/gather.ts';
import { KekError } from '../../../src/crypto/errors.ts';
import { generateKeyPair, type KeyPair } from '../../../src/crypto/key-pair.ts';
import { hour, minute } from '../../../src/domain/duration.ts';
import { ApiError, TransportError } from '../../../src/kube/errors.ts';
import { Store } from '../../../src/kube/store.ts';
import { anLtiRegistration } from '../../builders/registration.ts';
import { anObservation } from '../../builders/situation.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { MemoryObjects } from '../../fakes/memory-objects.ts';
import { MemoryOperator } from '../../fakes/memory-operator.ts';
import { LifeInvariants, ledgerIn, publishedIn, signingIn } from './life-invariants.ts';

/** More than a life uses; a pair is used by one life after another, never twice in one. */
const pairs = 60;

export function keyPool(): Promise<readonly KeyPair[]> {
  return Promise.all(Array.from({ length: pairs }, () => generateKeyPair(2048)));
}

type Spec = LtiRegistration['spec'];

/** One process, with caches that follow the API server when they are told to. */
interface Process {
  readonly operator: MemoryOperator;
  readonly registrations: Store<LtiRegistration>;
  readonly keys: Store<LtiKey>;
}

/** A random life of the registration `gradebook/canvas`; the same seed gives the same life. */
export class RandomLife {
  /** What happened, for the message of a failure. */
  readonly trace: string[] = [];
  readonly reached = new Set<string>();
  readonly #random: () => number;
  readonly #pool: readonly KeyPair[];
  readonly #objects = new MemoryObjects();
  readonly #clock = new FakeClock('2026-03-01T00:00:00.000Z');
  readonly #invariants: LifeInvariants;
  #generated = 0;
  #applied = 0;
  /** The IDs of the keys that every replica serves. */
  #served: ReadonlySet<string> = new Set();
  #first: Process;
  /** A former leader that has not noticed the end of its term. */
  #second: Process;
  #spec: Spec = anLtiRegistration({
    rotateAfter: '5d',
    activationDelay: '1h',
    overlap: '2h',
    keyHistoryLimit: 1,
    rotationTrigger: '0',
    delivery: { secretName: 'tool-a' },
  }).spec;

  constructor(seed: number, pool: readonly KeyPair[]) {
    this.#random = mulberry32(seed);
    this.#pool = pool;
    this.#invariants = new LifeInvariants(this.#objects, this.#clock, 2 * hour);
    this.#first = this.#start();
    this.#second = this.#start();
    this.#apply({});
  }

  async live(steps: number): Promise<void> {
    // Most lives begin when the registration is ready, because most of what can go wrong comes later.
    const quiet = this.#random() < 0.8 ? 6 : 0;
    for (let round = 0; round < quiet; round++) await this.#quietRound();
    for (let step = 0; step < steps; step++) {
      const [name, act] = this.#pick(this.#possible());
      this.trace.push(name);
      await act();
      this.#invariants.check();
    }
  }

  /** No more faults: everything has to settle. */
  async settle(): Promise<void> {
    this.trace.push('no more faults');
    if (this.#exists()) this.#apply({ suspend: false, keyDistribution: 'JWKSURL' });
    this.#first.operator.keks.problem = undefined;
    for (let round = 0; round < 60; round++) {
      await this.#quietRound();
      if (round % 3 === 0) await this.#clock.advance(15 * minute);
    }
    this.#checkSettled();
  }

  /** Everything catches up, and the operator acts once. */
  async #quietRound(): Promise<void> {
    this.#catchUp(this.#first);
    this.#synchronizeReplicas();
    await this.#reconcile(this.#first);
    await this.#first.operator.keyPair();
    this.#invariants.check();
    await this.#clock.advance(11_000);
  }

  #checkSettled(): void {
    const registration = this.#first.operator.registration();
    const ledger = ledgerIn(this.#objects);
    const published = publishedIn(this.#objects);
    if (!registration) {
      const isEmpty = !ledger && this.#first.operator.keys().length === 0 && signingIn(this.#objects).length === 0;
      if (this.#spec.deletionPolicy === 'Delete' && !isEmpty) {
        const keys = this.#first.operator.keys().map(({ metadata, status }) => `${metadata.name} ${status?.state}`);
        throw new Error(
          `the removal left LtiKeys ${keys.join()} and delivered keys ${signingIn(this.#objects).join()}`,
        );
      }
      if (this.#spec.deletionPolicy === 'Retain' && ledger && published.size === 0 && ledger.activeKeyID !== undefined)
        throw new Error('a retained key is not published');
      return;
    }
    const { status } = registration;
    const phase = status?.phase ?? 'no status';
    if (!['Ready', 'Rotating', 'ActionRequired'].includes(phase)) {
      const [wrong] =
        status?.conditions?.filter(({ type, status: is }) => (type === 'Ready') === (is === 'False')) ?? [];
      throw new Error(`the registration is ${phase} in the end: ${wrong?.reason}, ${wrong?.message}`);
    }
    const revoked = new Set(this.#spec.revokedKeyIDs);
    for (const keyID of [...published, ...signingIn(this.#objects)])
      if (revoked.has(keyID)) throw new Error(`${keyID} is revoked and still used`);
    if (signingIn(this.#objects).join() !== ledger?.activeKeyID)
      throw new Error(`the tool has ${signingIn(this.#objects).join()}, and ${ledger?.activeKeyID} is active`);
  }

  #possible(): readonly (readonly [name: string, act: () => Promise<void> | void, weight: number])[] {
    const { operator } = this.#first;
    return [
      ['all is quiet for a moment', () => this.#quietRound(), 25],
      ['reconcile', () => this.#reconcile(this.#first), 20],
      ['reconcile with a fault', () => this.#reconcileWithFault(this.#first), 16],
      ['the former leader reconciles', () => this.#reconcile(this.#second), 4],
      ['the former leader reconciles with a fault', () => this.#reconcileWithFault(this.#second), 2],
      ['the caches catch up', () => this.#catchUp(this.#first), 24],
      ['the caches of the former leader catch up', () => this.#catchUp(this.#second), 4],
      ['the replicas catch up', () => this.#synchronizeReplicas(), 20],
      ['the key pair is ready', () => operator.keyPair(), 14],
      ['the key pair of the former leader is ready', () => this.#second.operator.keyPair(), 2],
      ['a minute passes', () => this.#clock.advance(minute + 1), 10],
      ['an hour passes', () => this.#clock.advance(hour + 1), 8],
      ['a day passes', () => this.#clock.advance(25 * hour), 6],
      ['the process restarts', () => void (this.#first = this.#start()), 3],
      ['the process loses the lead', () => this.#swap(), 2],
      ['the KEK is lost', () => void (operator.keks.problem = new KekError('KEKMissing', 'no KEK')), 1],
      ['the KEK is back', () => void (operator.keks.problem = undefined), 2],
      ...this.#edits(),
    ];
  }

  #edits(): readonly (readonly [name: string, act: () => void, weight: number])[] {
    if (!this.#exists()) return [['apply again', () => this.#apply({}, true), 12]];
    const { delivery, suspend, keyDistribution, deletionPolicy, rotationTrigger } = this.#spec;
    const other = delivery?.secretName === 'tool-a' ? 'tool-b' : 'tool-a';
    return [
      ['trigger a rotation', () => this.#apply({ rotationTrigger: `${Number(rotationTrigger) + 1}` }), 8],
      ['revoke a key', () => this.#revoke(), 6],
      ['withdraw the revocations', () => this.#apply({ revokedKeyIDs: [] }), 1],
      [`deliver into ${other}`, () => this.#rename(other), 3],
      ['suspend or resume', () => this.#apply({ suspend: !suspend }), 2],
      ['Manual or not', () => this.#apply({ keyDistribution: keyDistribution === 'Manual' ? 'JWKSURL' : 'Manual' }), 2],
      ['acknowledge', () => this.#acknowledge(), 3],
      [
        'change the policy',
        () => this.#apply({ deletionPolicy: deletionPolicy === 'Retain' ? 'Delete' : 'Retain' }),
        2,
      ],
      ['delete', () => this.#delete(), 3],
    ];
  }

  #start(): Process {
    const registrations = new Store<LtiRegistration>();
    const keys = new Store<LtiKey>(ltiKeyIndexers);
    const observer: Partial<Sources['observer']> = {
      isAnyUnresponsive: () => false,
      observe: async (_namespace, _registration, { present, absent }) => {
        const isServed = ({ kid }: { readonly kid: string }): boolean => this.#served.has(kid);
        const ids = (list: readonly { readonly kid: string }[]): string[] => list.map(({ kid }) => kid);
        return anObservation(ids(present.filter(isServed)), {
          missingKeyIDs: new Set(ids(present.filter((key) => !isServed(key)))),
          stillServed: new Map(absent.filter(isServed).map(({ kid }) => [kid, 'replica jwks-0'])),
          absentKeyIDs: new Set(ids(absent.filter((key) => !isServed(key)))),
        });
      },
    };
    const operator = new MemoryOperator(
      {
        registrations,
        // oxlint-disable-next-line no-unsafe-type-assertion -- gather asks for nothing else
        keys: {
          byIndex: keys.byIndex.bind(keys),
          scopeOf: () => ({ connected: () => true }),
        } as unknown as Sources['keys'],
        // oxlint-disable-next-line no-unsafe-type-assertion -- the same
        observer: observer as Sources['observer'],
      },
      {
        objects: this.#objects,
        clock: this.#clock,
        generate: async () => this.#pool[this.#generated++] ?? generateKeyPair(2048),
      },
    );
    const { ownWrites, ledgers, lastSeen } = operator.sources;
    // oxlint-disable-next-line no-unsafe-type-assertion -- handlers need no more of an informer than its store
    const watched = { registrations, keys, ownWrites, lastSeen } as unknown as Watched;
    addEventHandlers(watched, (key) => ledgers.delete(key));
    const process = { operator, registrations, keys };
    this.#catchUp(process);
    return process;
  }

  #swap(): void {
    [this.#first, this.#second] = [this.#second, this.#first];
    // A new leader does not begin before its caches are read.
    this.#catchUp(this.#first);
  }

  #catchUp({ registrations, keys }: Process): void {
    registrations.replaceAll(this.#objects.all(ltiRegistrations));
    keys.replaceAll(this.#objects.all(ltiKeys));
  }

  #synchronizeReplicas(): void {
    this.#served = publishedIn(this.#objects);
    this.#invariants.served(this.#served);
  }

  async #reconcile({ operator }: Process): Promise<void> {
    const before = this.#generated;
    try {
      await operator.reconcile();
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof TransportError || error instanceof KekError)) throw error;
      this.trace.push(`  ${error.message}`);
    }
    if (this.#generated > before) this.trace.push('  a key pair is generated');
    const ledger = ledgerIn(this.#objects);
    this.trace.push(...this.#objects.writes.splice(0).map((write) => `  ${write}`));
    this.trace.push(`  → ${ledger?.keys.map(({ revision, state }) => `${revision} ${state}`).join(', ')}`);
    if ((ledger?.highestRevision ?? 0) > 1) this.reached.add('rotated');
    if (ledger?.keys.some(({ state }) => state === 'Revoked')) this.reached.add('revoked');
  }

  /** A fault at one of the next calls, or at each write of one kind. */
  async #reconcileWithFault(process: Process): Promise<void> {
    const objects = this.#objects;
    const at = Math.floor(this.#random() * 9);
    const error = this.#pick([
      ['409', new ApiError('409 Conflict', { status: 409, reason: 'Conflict' }), 1],
      ['500', new ApiError('500 InternalError', { status: 500, reason: 'InternalError' }), 1],
      ['503', new ApiError('503 ServiceUnavailable', { status: 503, reason: 'ServiceUnavailable' }), 1],
      ['403', new ApiError('403 Forbidden', { status: 403, reason: 'Forbidden' }), 1],
      ['timeout', new TransportError('Timeout', 'no answer'), 3],
    ])[1];
    let calls = 0;
    const strike = (call: string): void => {
      if (calls++ !== at) return;
      this.trace.push(`  ${error.message} at ${call}`);
      throw error;
    };
    if (error instanceof TransportError && this.#random() < 0.5) {
      this.reached.add('lost an answer');
      objects.after = strike;
    } else if (this.#random() < 0.3) {
      const target = this.#pick(
        ['secrets canvas-lti-keys', 'secrets tool-', 'ltikeys', 'ltiregistrations'].map((one) => [one, one, 1]),
      )[1];
      objects.before = (call) => {
        if (call.includes(target) && !/^(get|list)/.test(call))
          throw new ApiError('quota', { status: 403, reason: 'Forbidden' });
      };
      this.trace.push(`  every write of ${target} is refused`);
    } else objects.before = strike;
    try {
      await this.#reconcile(process);
    } finally {
      objects.before = () => undefined;
      objects.after = () => undefined;
    }
  }

  #exists(): boolean {
    return this.#first.operator.registration() !== undefined;
  }

  #apply(edit: Partial<Spec>, recreated = false): void {
    this.#spec = { ...this.#spec, ...edit };
    const object = anLtiRegistration(this.#spec);
    const generation = (this.#applied += 1);
    const uid =
      recreated || generation === 1 ? `uid-${generation}` : this.#first.operator.registration()!.metadata.uid!;
    this.#first.operator.apply({ ...object, metadata: { ...object.metadata, generation, uid } });
    this.#invariants.edited(this.#spec);
  }

  #rename(secretName: string): void {
    this.reached.add('renamed');
    this.#apply({ delivery: { secretName } });
  }

  #revoke(): void {
    const published = [...publishedIn(this.#objects)];
    if (published.length === 0) return;
    const keyID = published[Math.floor(this.#random() * published.length)]!;
    this.#apply({ revokedKeyIDs: [...new Set([...(this.#spec.revokedKeyIDs ?? []), keyID])].slice(-8) });
  }

  #acknowledge(): void {
    const next = ledgerIn(this.#objects)?.keys.find(({ state }) => state === 'Next');
    if (next) this.#apply({ acknowledgedKeyID: next.keyID });
  }

  /** The admission policy allows it only if the operator has seen the newest spec. */
  #delete(): void {
    const { metadata, status } = this.#first.operator.registration()!;
    if (status?.observedGeneration !== metadata.generation) return;
    if (this.#spec.deletionPolicy === 'Delete') this.reached.add('removed');
    this.#objects.remove(ltiRegistrations, 'gradebook', 'canvas');
    this.#invariants.deleted(this.#spec);
  }

  #pick<T extends readonly [string, unknown, number]>(from: readonly T[]): T {
    const total = from.reduce((sum, [, , weight]) => sum + weight, 0);
    let at = this.#random() * total;
    for (const one of from) if ((at -= one[2]) < 0) return one;
    return from.at(-1)!;
  }
}

/** A small generator of random numbers in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
