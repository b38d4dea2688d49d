import { availableParallelism } from 'node:os';
import { generateKeyPair, type KeyPair } from '../../crypto/key-pair.ts';
import type { KeySize } from '../../domain/public-jwk.ts';
import type { KeyFacts } from '../../domain/ledger.ts';
import { FairQueue } from '../../lib/fair-queue.ts';
import { type ObjectKey, splitKey } from '../../kube/objects.ts';

export interface KeyOrder {
  readonly size: KeySize;
  /** Whether a revocation waits for the pair. */
  readonly urgent: boolean;
}

/** A key pair that the ledger does not have yet. Its private half is sealed. */
export interface GeneratedKey {
  readonly facts: KeyFacts;
  readonly jwe: string;
  /** The KEK that it is sealed under. Drop the pair if another KEK seals by now. */
  readonly kekID: string;
}

export interface KeyGeneratorOptions {
  /** Seals the private half for its place in the ledger of `registration`. */
  readonly seal: (registration: ObjectKey, pair: KeyPair) => Promise<GeneratedKey>;
  /**
   * The pair of `registration` can be taken, or, with a `failure` (usually a KekError or SealError), could not be generated. A failed
   * request is dropped: the next pass requests a pair again, after a back-off, because each attempt generates one.
   */
  readonly ready: (registration: ObjectKey, failure?: unknown) => void;
  readonly generate?: (size: KeySize) => Promise<KeyPair>;
  readonly slots?: number;
}

/** The default size of the thread pool of Node.js. */
const poolThreads = 4;

/**
 * More pairs at a time than cores finish no sooner. Two threads of the pool stay free: one for an urgent pair, one for reading
 * files and sealing.
 */
const defaultSlots = Math.min(availableParallelism(), poolThreads - 2);

/**
 * Sealed pairs that wait to be written, 3 to 5.5 KB each. Above this limit, requests that are not urgent wait. The limit is per
 * namespace, so that a tenant whose writes are refused does not stop the others.
 */
export const keptPerNamespace = 1000;

interface Request {
  readonly size: KeySize;
  urgent: boolean;
  generated?: GeneratedKey;
}

/**
 * Generates key pairs in the background, so that no worker waits for one: a pass requests a pair and ends, and `ready`
 * enqueues the registration again.
 *
 *     request() ──► waiting ──► generated and sealed ──► kept ◄─── take(), any number of times
 *                   urgent first;   one or two slots,      │
 *                   namespaces      and one more for       └──► drop(), once the ledger has it
 *                   take turns      urgent pairs alone
 *
 * A pair whose write was refused is kept for the next attempt, its private half sealed.
 */
export class KeyGenerator {
  readonly #seal: KeyGeneratorOptions['seal'];
  readonly #ready: KeyGeneratorOptions['ready'];
  readonly #generate: (size: KeySize) => Promise<KeyPair>;
  readonly #slots: number;

  readonly #requests = new Map<ObjectKey, Request>();
  readonly #urgent = new FairQueue();
  readonly #others = new FairQueue();
  /** The number of pairs that each namespace has kept. */
  readonly #kept = new Map<string, number>();
  #running = 0;
  #stopped = false;

  constructor(options: KeyGeneratorOptions) {
    this.#seal = options.seal;
    this.#ready = options.ready;
    this.#generate = options.generate ?? generateKeyPair;
    this.#slots = options.slots ?? defaultSlots;
  }

  /** Requests a pair, unless one is requested or kept already. Another size replaces the request; urgency may rise. */
  request(registration: ObjectKey, { size, urgent }: KeyOrder): void {
    const known = this.#requests.get(registration);
    if (known?.size === size) {
      if (urgent) this.#hurry(registration, known);
      return;
    }
    this.drop(registration);
    this.#requests.set(registration, { size, urgent });
    (urgent ? this.#urgent : this.#others).add(registration);
    this.#start();
  }

  /** Pairs that are being generated or wait for a slot. */
  get pending(): number {
    return [...this.#requests.values()].filter(({ generated }) => generated === undefined).length;
  }

  /** The requested pair, once it is generated. It stays until it is dropped. */
  take(registration: ObjectKey): GeneratedKey | undefined {
    return this.#requests.get(registration)?.generated;
  }

  /** Drops the request and its pair: the ledger has it, or it is no longer needed. */
  drop(registration: ObjectKey): void {
    const request = this.#requests.get(registration);
    if (request === undefined) return;
    this.#requests.delete(registration);
    (request.urgent ? this.#urgent : this.#others).delete(registration);
    if (request.generated !== undefined) this.#count(registration, -1);
    this.#start();
  }

  /** Drops every request and starts no other: the term of leadership is over. */
  stop(): void {
    this.#stopped = true;
    for (const registration of this.#requests.keys()) this.drop(registration);
  }

  #hurry(registration: ObjectKey, request: Request): void {
    if (request.urgent) return;
    request.urgent = true;
    if (!this.#others.delete(registration)) return;
    this.#urgent.add(registration);
    this.#start();
  }

  #start(): void {
    if (this.#stopped) return;
    const hasRoom = (namespace: string): boolean => (this.#kept.get(namespace) ?? 0) < keptPerNamespace;
    while (this.#running <= this.#slots) {
      const registration =
        this.#urgent.take() ?? (this.#running < this.#slots ? this.#others.take(hasRoom) : undefined);
      const request = registration === undefined ? undefined : this.#requests.get(registration);
      if (registration === undefined || request === undefined) return;
      void this.#make(registration, request);
    }
  }

  async #make(registration: ObjectKey, request: Request): Promise<void> {
    const isWanted = (): boolean => this.#requests.get(registration) === request;
    let failure: unknown;
    this.#running += 1;
    try {
      const pair = await this.#generate(request.size);
      if (!isWanted()) return;
      const generated = await this.#seal(registration, pair);
      if (!isWanted()) return;
      request.generated = generated;
      this.#count(registration, 1);
    } catch (error) {
      if (!isWanted()) return;
      failure = error;
      this.#requests.delete(registration);
    } finally {
      this.#running -= 1;
      this.#start();
    }
    this.#ready(registration, failure);
  }

  #count(registration: ObjectKey, change: 1 | -1): void {
    const { namespace } = splitKey(registration);
    const kept = (this.#kept.get(namespace) ?? 0) + change;
    if (kept === 0) this.#kept.delete(namespace);
    else this.#kept.set(namespace, kept);
  }
}
