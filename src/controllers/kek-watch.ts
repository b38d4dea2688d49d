import type { KekProvider } from '../crypto/keyring.ts';
import { type Duration, second } from '../domain/duration.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';

const interval: Duration = 5 * second;

/** Looks at the key-encryption keys every few seconds, says what is wrong with them, and tells when that changes. */
export class KekWatch {
  readonly #keks: KekProvider;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #changed: () => void;
  #said = '';
  #error: string | undefined;

  constructor(options: { keks: KekProvider; clock: Clock; log: Logger; changed: () => void }) {
    this.#keks = options.keks;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#changed = options.changed;
  }

  /** Why nothing can be sealed, one of a fixed set of reasons; `undefined` when it can. */
  error(): string | undefined {
    return this.#error;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#look();
      } catch (error) {
        this.#log.warn({ error }, 'cannot check the key-encryption keys; it is tried again');
      }
      await sleep(this.#clock, interval, signal);
    }
  }

  async #look(): Promise<void> {
    const { sealingKeyID, problems } = await this.#keks.status();
    this.#error = sealingKeyID === undefined ? (problems[0]?.reason ?? 'KEKMissing') : undefined;
    const now = [sealingKeyID, ...problems.map(({ message }) => message)].join('\n');
    if (now === this.#said) return;
    for (const { reason, message } of problems)
      this.#log.error({ reason, error: new Error(message) }, 'key-encryption key is not usable');
    if (sealingKeyID !== undefined)
      this.#log.info({ kekID: sealingKeyID }, 'private keys are sealed under this key-encryption key');
    if (this.#said !== '') this.#changed();
    this.#said = now;
  }
}
