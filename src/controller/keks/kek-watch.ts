import type { KekProvider } from '../../crypto/kek-provider.ts';
import { type Duration, second } from '../../domain/duration.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Logger } from '../../observability/log.ts';

const interval: Duration = 5 * second;

/** Checks the key-encryption keys every few seconds, logs what is wrong with them, and calls `changed` when that changes. */
export class KekWatch {
  readonly #keks: KekProvider;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #handlers: (() => void)[] = [];
  #said = '';
  #error: string | undefined;
  #sealingKeyID: string | undefined;

  constructor(options: { keks: KekProvider; clock: Clock; log: Logger }) {
    this.#keks = options.keks;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Calls `handler` when another key seals, or other problems are found. */
  onChange(handler: () => void): void {
    this.#handlers.push(handler);
  }

  /** Why nothing can be sealed, one of a fixed set of reasons; `undefined` when it can. */
  error(): string | undefined {
    return this.#error;
  }

  /** The KEK that seals; undefined while there is none, or none is known yet. */
  sealingKeyID(): string | undefined {
    return this.#sealingKeyID;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#look();
      } catch (error) {
        this.#log.warn({ error }, 'cannot check the key-encryption keys; retrying');
      }
      await sleep(this.#clock, interval, signal);
    }
  }

  async #look(): Promise<void> {
    const { sealingKeyID, problems } = await this.#keks.status();
    this.#sealingKeyID = sealingKeyID;
    this.#error = sealingKeyID === undefined ? (problems[0]?.reason ?? 'KEKMissing') : undefined;
    const now = [sealingKeyID, ...problems.map(({ message }) => message)].join('\n');
    if (now === this.#said) return;
    for (const { reason, message } of problems) {
      const fields = { reason, error: new Error(message) };
      // A key that has opened something is sound whatever becomes of its canary.
      if (reason === 'KEKUnverified' && sealingKeyID !== undefined) {
        this.#log.warn(fields, 'canary of a key-encryption key is not in place');
      } else {
        this.#log.error(fields, 'key-encryption key is not usable');
      }
    }
    if (sealingKeyID !== undefined)
      this.#log.info({ kekID: sealingKeyID }, 'private keys are sealed under this key-encryption key');
    if (this.#said !== '') for (const handler of this.#handlers) handler();
    this.#said = now;
  }
}
