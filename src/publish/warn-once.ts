import { errorCode } from '../lib/error-code.ts';
import type { Logger } from '../observability/log.ts';
import type { Collision } from './document-renderer.ts';
import type { LtiKeyFacts } from './published-key.ts';

/** Logs what is not published or was altered, and why, each once. */
export class WarnOnce {
  readonly #log: Logger;
  readonly #logged = new Set<string>();
  /** The cause that was logged last, while the directory cannot be used. */
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
    this.#once(file, () => this.#log.error({ file, error }, 'cannot publish a document'));
  }

  /** The directory cannot be written or read. Logs each cause once, until `usable`; `files` is the number of affected files. */
  unusable(error: unknown, files = 1): void {
    const cause = errorCode(error, String(error));
    if (cause === this.#unusable) return;
    this.#unusable = cause;
    this.#log.error({ error, files }, 'cannot write the publish directory, keeping its documents');
  }

  usable(): void {
    if (this.#unusable !== undefined) this.#log.info({}, 'the publish directory is writable again');
    this.#unusable = undefined;
  }

  alteredFiles(files: number): void {
    this.#log.warn({ files }, 'documents in the publish directory were deleted or changed; writing them again');
  }

  collision({ file, keyID, listed, omitted, sameKey }: Collision): void {
    const { namespace, registration, revision } = omitted;
    const other = `${listed.namespace}/${listed.registration}`;
    const reason = sameKey ? `${other} has the same key` : `${other} has another key with this key ID`;
    this.#once(`${file} ${keyID} ${namespace}/${registration}/${revision}`, () =>
      this.#log.warn({ file, kid: keyID, namespace, registration, revision, reason }, 'key left out of a document'),
    );
  }

  #once(what: string, write: () => void): void {
    if (this.#logged.has(what)) return;
    this.#logged.add(what);
    write();
  }
}
