import { randomBytes, timingSafeEqual } from 'node:crypto';
import { type Duration, minute, second } from '../../domain/duration.ts';
import type { Clock } from '../../lib/clock.ts';
import { KekError } from '../kek-error.ts';
import type { Kek, KekProvider, KekStatus } from '../kek-provider.ts';
import type { WrappedKey } from '../wrapped-key.ts';
import type { Kms } from './kms.ts';
import { WrappingKeys } from './wrapping-keys.ts';

/** How kube-apiserver treats its KMS plugins (k8s.io/apiserver, encryptionconfig/config.go). */
const pollHealthy: Duration = minute;
const pollUnhealthy: Duration = 10 * second;
/** How long a wrapping key may seal after the last good poll began, and how long a verdict is believed. */
const sealingTime: Duration = 3 * minute;

interface Verdict {
  readonly begunAt: number;
  readonly endedAt: number;
  readonly problem?: KekError;
}

/**
 * KEKs that stay in a KMS. The KMS encrypts a random wrapping key, which then seals for as long as the KMS names the same
 * `key_id`, and its ciphertext is kept beside everything it sealed. The service is asked how it is whenever somebody wants
 * a KEK and the last answer is a minute old (ten seconds, if that was bad): it has to be asked regularly.
 */
export class KmsKekProvider implements KekProvider {
  readonly #kms: Kms;
  readonly #clock: Clock;
  readonly #opened: WrappingKeys;
  #sealing: (Kek & { readonly wrapped: WrappedKey }) | undefined;
  #sealsUntil = -Infinity;
  #verdict: Verdict | undefined;
  #polling: Promise<void> | undefined;

  constructor({ kms, clock }: { kms: Kms; clock: Clock }) {
    this.#kms = kms;
    this.#clock = clock;
    this.#opened = new WrappingKeys({ kms, clock });
  }

  async status(): Promise<KekStatus> {
    const kek = await this.#current();
    if (kek instanceof KekError) return { sealingKeyID: undefined, problems: [kek] };
    const problem = this.#verdict?.problem;
    return { sealingKeyID: kek.id, problems: problem ? [problem] : [] };
  }

  async sealingKey(): Promise<Kek> {
    const kek = await this.#current();
    if (kek instanceof KekError) throw kek;
    return kek;
  }

  async openingKey(kekID: string, wrapped?: WrappedKey): Promise<Kek> {
    if (wrapped) return this.#opened.get(wrapped);
    const message = `KEK ${kekID} comes from a file, and no KMS can stand in for it: give its directory with --kek-dir.`;
    throw new KekError('KEKMissing', message);
  }

  /** Waits for the KMS only where nothing is known of it: a slow one holds up nobody who could be told without it. */
  async #current(): Promise<Kek | KekError> {
    const verdict = this.#verdict;
    const now = this.#clock.monotonic();
    if (!verdict || now - verdict.endedAt >= (verdict.problem ? pollUnhealthy : pollHealthy)) {
      this.#polling ??= this.#poll().finally(() => (this.#polling = undefined));
      // Whoever waits for it sees a failure; nobody may.
      this.#polling.catch(() => undefined);
    }
    if (!verdict || now - verdict.begunAt >= sealingTime) await this.#polling;
    if (this.#sealing && this.#clock.monotonic() < this.#sealsUntil) return this.#sealing;
    const unasked = `${this.#kms.subject} has not been found healthy for 3 minutes: it is asked again.`;
    return this.#verdict?.problem ?? new KekError('KMSUnavailable', unasked);
  }

  async #poll(): Promise<void> {
    const begunAt = this.#clock.monotonic();
    const problem = await kekErrorOf(this.#follow());
    if (!problem) this.#sealsUntil = begunAt + sealingTime;
    this.#verdict = { begunAt, endedAt: this.#clock.monotonic(), ...(problem ? { problem } : {}) };
  }

  /** A present wrapping key goes on sealing, for its time, when no new one can be had. */
  async #follow(): Promise<void> {
    const keyID = await this.#kms.status();
    if (keyID !== this.#sealing?.wrapped.keyID) this.#sealing = await this.#makeWrappingKey(keyID);
  }

  async #makeWrappingKey(keyID: string): Promise<Kek & { readonly wrapped: WrappedKey }> {
    const bytes = randomBytes(32);
    try {
      const wrapped = await this.#kms.encrypt(bytes);
      if (wrapped.keyID !== keyID) throw this.#inconsistent('encrypts with another key_id than its Status names');
      const again = await this.#kms.decrypt(wrapped);
      const same = timingSafeEqual(again, bytes);
      again.fill(0);
      if (!same) throw this.#inconsistent('does not give back what it encrypted');
      return this.#opened.add(wrapped, bytes);
    } finally {
      bytes.fill(0);
    }
  }

  #inconsistent(what: string): KekError {
    const message = `${this.#kms.subject} ${what}: what it encrypts might be lost, so nothing new is sealed with it. Its log and the service behind it say why.`;
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
