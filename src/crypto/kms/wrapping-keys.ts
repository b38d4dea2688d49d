import { webcrypto } from 'node:crypto';
import { type Duration, second } from '../../domain/duration.ts';
import type { Clock } from '../../lib/clock.ts';
import { KekError } from '../kek-error.ts';
import type { Kek } from '../kek-provider.ts';
import { kekIDOf, type WrappedKey } from '../wrapped-key.ts';
import type { Kms } from './kms.ts';

/** A few for every start of an operator since the keys in use were sealed. */
const mostKept = 1000;
/** How soon the KMS is asked again for a key that it did not give or that has opened nothing. */
const askAgainAfter: Duration = 10 * second;

interface Entry {
  readonly outcome: Promise<Kek | KekError>;
  /** The key has opened something, so it is the right one. */
  proved: boolean;
  staleAt: number;
}

/**
 * Wrapping keys that the KMS decrypted, each asked for once: with these, opening goes on while the KMS is away. A refusal,
 * and a key that opens nothing, are believed for a few seconds, so that many sealed keys do not wait for one slow answer each.
 */
export class WrappingKeys {
  readonly #kms: Pick<Kms, 'decrypt'>;
  readonly #clock: Clock;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();

  constructor({ kms, clock }: { kms: Pick<Kms, 'decrypt'>; clock: Clock }) {
    this.#kms = kms;
    this.#clock = clock;
  }

  /** Throws `KekError`. */
  async get(wrapped: WrappedKey): Promise<Kek> {
    const name = nameOf(wrapped);
    const known = this.#entries.get(name);
    const usable = known && (known.proved || this.#clock.monotonic() < known.staleAt);
    const entry = usable ? known : this.#ask(wrapped);
    this.#keep(name, entry);
    const outcome = await entry.outcome;
    if (outcome instanceof KekError) throw outcome;
    return outcome;
  }

  /** Takes one that was just encrypted and decrypted. */
  add(kek: Kek & { readonly wrapped: WrappedKey }): void {
    this.#keep(nameOf(kek.wrapped), { outcome: Promise.resolve(kek), proved: true, staleAt: Infinity });
  }

  #keep(name: string, entry: Entry): void {
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    for (const [oldest] of this.#entries) {
      if (this.#entries.size <= mostKept) break;
      this.#entries.delete(oldest);
    }
  }

  #ask(wrapped: WrappedKey): Entry {
    const confirm = (): void => void (entry.proved = true);
    const outcome = this.#decrypt(wrapped, confirm).finally(() => {
      entry.staleAt = this.#clock.monotonic() + askAgainAfter;
    });
    const entry: Entry = { outcome, proved: false, staleAt: Infinity };
    return entry;
  }

  async #decrypt(wrapped: WrappedKey, confirm: () => void): Promise<Kek | KekError> {
    try {
      const bytes = await this.#kms.decrypt(wrapped);
      return { id: kekIDOf(wrapped.keyID), key: await importWrappingKey(bytes), wrapped, confirm };
    } catch (error) {
      if (error instanceof KekError) return error;
      throw error;
    }
  }
}

/** Zeroes the bytes. */
export async function importWrappingKey(bytes: Buffer): Promise<webcrypto.CryptoKey> {
  try {
    return await webcrypto.subtle.importKey('raw', bytes, 'AES-KW', false, ['wrapKey', 'unwrapKey']);
  } finally {
    bytes.fill(0);
  }
}

function nameOf({ keyID, ciphertext, annotations }: WrappedKey): string {
  const sorted = Object.entries(annotations).toSorted(([left], [right]) => (left < right ? -1 : 1));
  return JSON.stringify([keyID, ciphertext, sorted]);
}
