import type { KekProvider } from '../../crypto/kek-provider.ts';
import { type Duration, second } from '../../domain/duration.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Logger } from '../../observability/log.ts';

const interval: Duration = 5 * second;

/** Checks the key-encryption keys every few seconds, and logs their problems when these change. */
export class KekWatch {
  readonly #keks: KekProvider;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #handlers: (() => void)[] = [];
  #reported = '';
  #error: string | undefined;
  #sealingKekID: string | undefined;

  constructor(options: { keks: KekProvider; clock: Clock; log: Logger }) {
    this.#keks = options.keks;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Calls `handler` when another key seals, or other problems are found. */
  onChange(handler: () => void): void {
    this.#handlers.push(handler);
  }

  /** The reason why nothing can be sealed; `undefined` if it can. */
  error(): string | undefined {
    return this.#error;
  }

  /** The KEK that seals; undefined before the first check, and while nothing can be sealed. */
  sealingKekID(): string | undefined {
    return this.#sealingKekID;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#check();
      } catch (error) {
        this.#log.warn({ error }, 'cannot check the key-encryption keys; retrying');
      }
      await sleep(this.#clock, interval, signal);
    }
  }

  async #check(): Promise<void> {
    const { sealingKekID, problems } = await this.#keks.status();
    this.#sealingKekID = sealingKekID;
    this.#error = sealingKekID === undefined ? (problems[0]?.reason ?? 'KEKMissing') : undefined;
    const now = [sealingKekID, ...problems.map(({ message }) => message)].join('\n');
    if (now === this.#reported) return;
    for (const { reason, message } of problems) {
      const fields = { reason, error: new Error(message) };
      // A key that decrypted something is the right one, whatever the state of its canary.
      if (reason === 'KEKUnverified' && sealingKekID !== undefined) {
        this.#log.warn(fields, 'canary of a key-encryption key is not in place');
      } else {
        this.#log.error(fields, 'key-encryption key is not usable');
      }
    }
    if (sealingKekID !== undefined)
      this.#log.info({ kekID: sealingKekID }, 'private keys are sealed under this key-encryption key');
    if (this.#reported !== '') for (const handler of this.#handlers) handler();
    this.#reported = now;
  }
}
