import type { Logger } from '../observability/log.ts';
import type { Collision } from './document-renderer.ts';
import type { LtiKeyFacts } from './published-key.ts';

/** Tells what is not published, and why, once each. */
export class WarnOnce {
  readonly #log: Logger;
  readonly #said = new Set<string>();
  /** Why the directory cannot be used, as it was said last. */
  #unusable: string | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  refusedKey({ metadata: { namespace, name } }: LtiKeyFacts, reason: string): void {
    this.#once(`${namespace}/${name}: ${reason}`, () =>
      this.#log.warn({ namespace, name, reason }, 'LtiKey is not published'),
    );
  }

  unwritableFile(file: string, error: Error): void {
    this.#once(file, () => this.#log.error({ file, error }, 'cannot publish'));
  }

  /** The directory cannot be written or read: each cause once, until `usable`. `files` says how many have it. */
  unusable(error: unknown, files = 1): void {
    const cause = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    if (cause === this.#unusable) return;
    this.#unusable = cause;
    this.#log.error({ error, files }, 'cannot write the publish directory, keeping what is there');
  }

  usable(): void {
    if (this.#unusable !== undefined) this.#log.info({}, 'the publish directory can be written again');
    this.#unusable = undefined;
  }

  collision({ file, keyID, listed, omitted, sameKey }: Collision): void {
    const { namespace, registration, revision } = omitted;
    const other = `${listed.namespace}/${listed.registration}`;
    const reason = sameKey ? `is the same key as in ${other}` : `another key of ${other} has this key ID`;
    this.#once(`${file} ${keyID} ${namespace}/${registration}/${revision}`, () =>
      this.#log.warn({ file, kid: keyID, namespace, registration, revision, reason }, 'key is left out of a document'),
    );
  }

  #once(what: string, say: () => void): void {
    if (this.#said.has(what)) return;
    this.#said.add(what);
    say();
  }
}
