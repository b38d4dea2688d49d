import { randomBytes, timingSafeEqual } from 'node:crypto';
import { type Duration, minute, second } from '../../domain/duration.ts';
import type { Clock } from '../../lib/clock.ts';
import { KekError } from '../errors.ts';
import type { Kek, KekProvider, KekStatus } from '../kek-provider.ts';
import type { WrappedKey } from '../wrapped-key.ts';
import type { Kms } from './kms.ts';
import { WrappingKeys } from './wrapping-keys.ts';

/** As kube-apiserver polls its KMS plugins (k8s.io/apiserver, encryptionconfig/config.go). */
const pollHealthy: Duration = minute;
const pollUnhealthy: Duration = 10 * second;
/** How long a wrapping key may seal after the last successful poll began, and how long the result of a poll is used. */
const sealingTime: Duration = 3 * minute;

interface PollResult {
  readonly begunAt: number;
  readonly endedAt: number;
  readonly problem?: KekError;
}

/**
 * KEKs in a KMS. The KMS encrypts a random wrapping key, which seals for as long as the KMS reports the same `key_id`; the
 * ciphertext of the wrapping key is stored beside everything that it sealed. A request for a KEK polls the KMS if the last poll is
 * a minute old, or ten seconds if it failed, so the provider needs regular requests.
 */
export class KmsKekProvider implements KekProvider {
  readonly #kms: Kms;
  readonly #clock: Clock;
  readonly #opened: WrappingKeys;
  #sealing: (Kek & { readonly wrapped: WrappedKey }) | undefined;
  #sealsUntil = -Infinity;
  #lastPoll: PollResult | undefined;
  #polling: Promise<void> | undefined;

  constructor({ kms, clock }: { kms: Kms; clock: Clock }) {
    this.#kms = kms;
    this.#clock = clock;
    this.#opened = new WrappingKeys({ kms, clock });
  }

  async status(): Promise<KekStatus> {
    const kek = await this.#current();
    if (kek instanceof KekError) return { sealingKekID: undefined, problems: [kek] };
    const problem = this.#lastPoll?.problem;
    return { sealingKekID: kek.id, problems: problem ? [problem] : [] };
  }

  async sealingKey(): Promise<Kek> {
    const kek = await this.#current();
    if (kek instanceof KekError) throw kek;
    return kek;
  }

  async openingKey(kekID: string, wrapped?: WrappedKey): Promise<Kek> {
    if (wrapped) return this.#opened.get(wrapped);
    const message = `KEK ${kekID} is a file, not a key in a KMS: name its directory with --kek-dir`;
    throw new KekError('KEKMissing', message);
  }

  /** Waits for the KMS only if there is no recent result, so that a slow KMS delays nothing else. */
  async #current(): Promise<Kek | KekError> {
    const last = this.#lastPoll;
    const now = this.#clock.monotonic();
    if (!last || now - last.endedAt >= (last.problem ? pollUnhealthy : pollHealthy)) {
      this.#polling ??= this.#poll().finally(() => (this.#polling = undefined));
      // The error reaches those that await it, if any.
      this.#polling.catch(() => undefined);
    }
    if (!last || now - last.begunAt >= sealingTime) await this.#polling;
    if (this.#sealing && this.#clock.monotonic() < this.#sealsUntil) return this.#sealing;
    const unasked = `${this.#kms.subject} has not reported healthy for 3 minutes, so nothing is sealed with it: check its log`;
    return this.#lastPoll?.problem ?? new KekError('KMSUnavailable', unasked);
  }

  async #poll(): Promise<void> {
    const begunAt = this.#clock.monotonic();
    const problem = await kekErrorOf(this.#follow());
    if (!problem) this.#sealsUntil = begunAt + sealingTime;
    this.#lastPoll = { begunAt, endedAt: this.#clock.monotonic(), ...(problem ? { problem } : {}) };
  }

  /** If it cannot make a new wrapping key, the current one seals until its time is over. */
  async #follow(): Promise<void> {
    const keyID = await this.#kms.status();
    if (keyID !== this.#sealing?.wrapped.keyID) this.#sealing = await this.#makeWrappingKey(keyID);
  }

  async #makeWrappingKey(keyID: string): Promise<Kek & { readonly wrapped: WrappedKey }> {
    const bytes = randomBytes(32);
    try {
      const wrapped = await this.#kms.encrypt(bytes);
      if (wrapped.keyID !== keyID) throw this.#inconsistent('encrypts with another key_id than its Status reports');
      const again = await this.#kms.decrypt(wrapped);
      const same = timingSafeEqual(again, bytes);
      again.fill(0);
      if (!same) throw this.#inconsistent('does not decrypt what it encrypted');
      return this.#opened.add(wrapped, bytes);
    } finally {
      bytes.fill(0);
    }
  }

  #inconsistent(what: string): KekError {
    const message = `${this.#kms.subject} ${what}, so nothing new is sealed with it: sealed keys could be lost. Check its log and the service behind it`;
    return new KekError('KMSMalformed', message);
  }
}

async function kekErrorOf(work: Promise<void>): Promise<KekError | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof KekError) return error;
    throw error;
  }
}
