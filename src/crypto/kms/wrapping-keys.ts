import { type Duration, second } from '../../domain/duration.ts';
import type { Clock } from '../../lib/clock.ts';
import { importAesKw } from '../aes-kw.ts';
import { KekError } from '../errors.ts';
import type { Kek } from '../kek-provider.ts';
import { kekIDOf, type WrappedKey } from '../wrapped-key.ts';
import type { Kms } from './kms.ts';

/** A few per start of an operator since the current keys were sealed. */
const mostKept = 1000;
/** How long a refusal, or a key that has decrypted nothing yet, is cached. */
const retryAfter: Duration = 10 * second;

type WrappingKek = Kek & { readonly wrapped: WrappedKey };

interface Entry {
  readonly outcome: Promise<WrappingKek | KekError>;
  staleAt: number;
}

/**
 * Wrapping keys that the KMS decrypted, so that sealed keys open while the KMS is away. A refusal, and a key that decrypted
 * nothing, are cached for a few seconds, so that many sealed keys do not each wait for a slow answer.
 */
export class WrappingKeys {
  readonly #kms: Pick<Kms, 'decrypt'>;
  readonly #clock: Clock;
  /** KEK IDs with a wrapping key that decrypted something. */
  readonly #confirmed = new Set<string>();
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();

  constructor({ kms, clock }: { kms: Pick<Kms, 'decrypt'>; clock: Clock }) {
    this.#kms = kms;
    this.#clock = clock;
  }

  /** Throws `KekError`. */
  async get(wrapped: WrappedKey): Promise<WrappingKek> {
    const name = nameOf(wrapped);
    const known = this.#entries.get(name);
    const entry = known && this.#clock.monotonic() < known.staleAt ? known : this.#request(wrapped);
    this.#keep(name, entry);
    const outcome = await entry.outcome;
    if (outcome instanceof KekError) throw outcome;
    return outcome;
  }

  /** Adds a key that the KMS just encrypted and decrypted, and zeroes its bytes. */
  async add(wrapped: WrappedKey, bytes: Buffer): Promise<WrappingKek> {
    const kek = await this.#kek(wrapped, bytes, () => undefined);
    this.#keep(nameOf(wrapped), { outcome: Promise.resolve(kek), staleAt: Infinity });
    return kek;
  }

  #keep(name: string, entry: Entry): void {
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    for (const [oldest] of this.#entries) {
      if (this.#entries.size <= mostKept) break;
      this.#entries.delete(oldest);
    }
  }

  #request(wrapped: WrappedKey): Entry {
    const keep = (): void => void (entry.staleAt = Infinity);
    const outcome = this.#decrypt(wrapped, keep).finally(() => {
      entry.staleAt = this.#clock.monotonic() + retryAfter;
    });
    const entry: Entry = { outcome, staleAt: Infinity };
    return entry;
  }

  async #decrypt(wrapped: WrappedKey, keep: () => void): Promise<WrappingKek | KekError> {
    try {
      return await this.#kek(wrapped, await this.#kms.decrypt(wrapped), keep);
    } catch (error) {
      if (error instanceof KekError) return error;
      throw error;
    }
  }

  /** Zeroes the bytes. */
  async #kek(wrapped: WrappedKey, bytes: Buffer, keep: () => void): Promise<WrappingKek> {
    const id = kekIDOf(wrapped.keyID);
    const confirm = (): void => {
      this.#confirmed.add(id);
      keep();
    };
    return { id, key: await importAesKw(bytes), wrapped, confirm, isConfirmed: () => this.#confirmed.has(id) };
  }
}

function nameOf({ keyID, ciphertext, annotations }: WrappedKey): string {
  const sorted = Object.entries(annotations).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return JSON.stringify([keyID, ciphertext, sorted]);
}
