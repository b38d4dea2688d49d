import { availableParallelism } from 'node:os';
import { generateKeyPair, type KeyPair } from '../../crypto/key-pair.ts';
import type { KeySize } from '../../domain/public-jwk.ts';
import type { KeyFacts } from '../../domain/ledger.ts';
import { FairQueue } from '../../kube/fair-queue.ts';
import { type ObjectKey, splitKey } from '../../kube/objects.ts';

export interface KeyOrder {
  readonly size: KeySize;
  /** A revocation waits for it. */
  readonly urgent: boolean;
}

/** A key pair as it is kept until the ledger has it: its private half is sealed. */
export interface GeneratedKey {
  readonly facts: KeyFacts;
  readonly jwe: string;
  /** The KEK that it is sealed under: drop the pair when another one seals by now. */
  readonly kekID: string;
}

export interface KeyGeneratorOptions {
  /** Seals the private half for its place in the ledger of `key`. */
  readonly seal: (key: ObjectKey, pair: KeyPair) => Promise<GeneratedKey>;
  /**
   * The pair of `key` can be taken, or, with a `failure` (a KekError or SealError, most likely), could not be made. A failed
   * request is forgotten: the next pass asks again, and should wait as after any failure, for each attempt makes a pair.
   */
  readonly ready: (key: ObjectKey, failure?: unknown) => void;
  readonly generate?: (size: KeySize) => Promise<KeyPair>;
  readonly slots?: number;
}

/** Threads that Node.js computes and reads files with. */
const poolThreads = 4;

/**
 * More at once than there are cores finishes no sooner. Two threads of the pool stay free: one for an urgent pair, one to
 * read files and to seal.
 */
const slotPerCore = Math.min(availableParallelism(), poolThreads - 2);

/**
 * Sealed pairs of a namespace that wait to be written, 3 to 5.5 KB each. Beyond, its requests that are not urgent wait.
 * The limit is not for all namespaces together, because then a tenant whose writes are refused would stop the others.
 */
export const keptPerNamespace = 1000;

interface Request {
  readonly size: KeySize;
  urgent: boolean;
  generated?: GeneratedKey;
}

/**
 * Makes key pairs in the background, so that no worker waits for one: a pass asks for a pair and ends, and `ready` has the
 * registration looked at again.
 *
 *     request() ──► waiting ──► generated and sealed ──► kept ◄─── take(), any number of times
 *                   urgent first;   one slot per core,     │
 *                   namespaces      and one more for       └──► drop(), once the ledger has it
 *                   take turns      urgent pairs alone
 *
 * A pair whose write was refused is kept for the next attempt. No private key stays in memory.
 */
export class KeyGenerator {
  readonly #seal: KeyGeneratorOptions['seal'];
  readonly #ready: KeyGeneratorOptions['ready'];
  readonly #generate: (size: KeySize) => Promise<KeyPair>;
  readonly #slots: number;

  readonly #requests = new Map<ObjectKey, Request>();
  readonly #urgent = new FairQueue();
  readonly #others = new FairQueue();
  /** How many pairs each namespace has kept. */
  readonly #kept = new Map<string, number>();
  #running = 0;
  #stopped = false;

  constructor(options: KeyGeneratorOptions) {
    this.#seal = options.seal;
    this.#ready = options.ready;
    this.#generate = options.generate ?? generateKeyPair;
    this.#slots = options.slots ?? slotPerCore;
  }

  /** Asks for a pair, once for as long as it is not dropped; another size replaces the request, and urgency may rise. */
  request(key: ObjectKey, { size, urgent }: KeyOrder): void {
    const known = this.#requests.get(key);
    if (known?.size === size) {
      if (urgent) this.#hurry(key, known);
      return;
    }
    this.drop(key);
    this.#requests.set(key, { size, urgent });
    (urgent ? this.#urgent : this.#others).add(key);
    this.#start();
  }

  /** Pairs that are being made, or wait for their turn. */
  get pending(): number {
    return [...this.#requests.values()].filter(({ generated }) => generated === undefined).length;
  }

  /** The pair that was asked for, as soon as it is there. It stays until it is dropped. */
  take(key: ObjectKey): GeneratedKey | undefined {
    return this.#requests.get(key)?.generated;
  }

  /** Forgets the request and its pair: the ledger has it, or nobody wants it any more. */
  drop(key: ObjectKey): void {
    const request = this.#requests.get(key);
    if (request === undefined) return;
    this.#requests.delete(key);
    (request.urgent ? this.#urgent : this.#others).delete(key);
    if (request.generated !== undefined) this.#count(key, -1);
    this.#start();
  }

  /** Forgets everything and begins nothing more: the term of leadership is over. */
  stop(): void {
    this.#stopped = true;
    for (const key of this.#requests.keys()) this.drop(key);
  }

  #hurry(key: ObjectKey, request: Request): void {
    if (request.urgent) return;
    request.urgent = true;
    if (!this.#others.delete(key)) return;
    this.#urgent.add(key);
    this.#start();
  }

  #start(): void {
    if (this.#stopped) return;
    const hasRoom = (namespace: string): boolean => (this.#kept.get(namespace) ?? 0) < keptPerNamespace;
    while (this.#running <= this.#slots) {
      const key = this.#urgent.take() ?? (this.#running < this.#slots ? this.#others.take(hasRoom) : undefined);
      const request = key === undefined ? undefined : this.#requests.get(key);
      if (key === undefined || request === undefined) return;
      void this.#make(key, request);
    }
  }

  async #make(key: ObjectKey, request: Request): Promise<void> {
    const isWanted = (): boolean => this.#requests.get(key) === request;
    let failure: unknown;
    this.#running += 1;
    try {
      const pair = await this.#generate(request.size);
      if (!isWanted()) return;
      const generated = await this.#seal(key, pair);
      if (!isWanted()) return;
      request.generated = generated;
      this.#count(key, 1);
    } catch (error) {
      if (!isWanted()) return;
      failure = error;
      this.#requests.delete(key);
    } finally {
      this.#running -= 1;
      this.#start();
    }
    this.#ready(key, failure);
  }

  #count(key: ObjectKey, change: 1 | -1): void {
    const { namespace } = splitKey(key);
    const kept = (this.#kept.get(namespace) ?? 0) + change;
    if (kept === 0) this.#kept.delete(namespace);
    else this.#kept.set(namespace, kept);
  }
}
