import { isOfRegistration } from '../documents/document-names.ts';
import type { Clock } from '../lib/clock.ts';
import { type DocumentDirectory, FileNameError } from './document-directory.ts';
import { DocumentRenderer } from './document-renderer.ts';
import type { PublishedKey, RegistrationRef } from './published-key.ts';
import type { WarnOnce } from './warn-once.ts';

/** Aggregates are not written again for this many times as long as writing them took: with 30,000 keys, two to four seconds … */
const aggregateRest = 40;
/** … but soon enough that a revoked key leaves them, although the process may have stood still while it wrote them. */
const longestRestMs = 10_000;

/** Writes the documents that changed into the publish directory. */
export class DocumentWriter {
  readonly #renderer: DocumentRenderer;
  readonly #directory: DocumentDirectory;
  readonly #clock: Clock;
  readonly #warnings: WarnOnce;
  /** Files that may differ from their documents. */
  #stale = new Set<string>();
  #aggregatesAt = Number.NEGATIVE_INFINITY;

  constructor(all: boolean, directory: DocumentDirectory, clock: Clock, warnings: WarnOnce) {
    this.#renderer = new DocumentRenderer({ all });
    this.#directory = directory;
    this.#clock = clock;
    this.#warnings = warnings;
  }

  /** The files of all documents. */
  files(): readonly string[] {
    return this.#renderer.files();
  }

  /** Monotonic milliseconds at which stale aggregates may be written; Infinity if no file is stale. */
  dueAt(): number {
    return this.#stale.size > 0 ? this.#aggregatesAt : Number.POSITIVE_INFINITY;
  }

  /** Replaces all keys of the registration, and returns whether a document changes. */
  setKeys({ namespace, registration }: RegistrationRef, keys: readonly PublishedKey[]): boolean {
    const files = this.#renderer.setKeys(namespace, registration, keys);
    this.markStale(files);
    return files.length > 0;
  }

  markAllStale(): void {
    this.#stale = new Set(this.#renderer.files());
  }

  markStale(files: readonly string[]): void {
    for (const file of files) this.#stale.add(file);
  }

  /** Leaves the file as it is until it is stale again. */
  skip(file: string): void {
    this.#stale.delete(file);
  }

  /** Writes the stale files, aggregates only if they are due or `everything` is to be written. Returns the errors. */
  async write(everything: boolean): Promise<readonly unknown[]> {
    const errors: unknown[] = [];
    for (const file of [...this.#stale].filter(isOfRegistration)) await this.#write(file, errors);
    const began = this.#clock.monotonic();
    if (everything || this.#aggregatesAt <= began) {
      for (const file of this.#stale) if (!isOfRegistration(file)) await this.#write(file, errors);
      const now = this.#clock.monotonic();
      this.#aggregatesAt = now + Math.min(aggregateRest * (now - began), longestRestMs);
    }
    return errors;
  }

  async #write(file: string, errors: unknown[]): Promise<void> {
    try {
      const document = this.#renderer.render(file);
      for (const collision of document?.collisions ?? []) this.#warnings.collision(collision);
      if (document === undefined) await this.#directory.remove(file);
      else await this.#directory.write(file, document.pieces);
    } catch (error) {
      if (!(error instanceof FileNameError)) return void errors.push(error);
      // No retry can succeed, and one registration must not stop the heartbeat for the others.
      this.#warnings.unwritableFile(file, error);
    }
    this.#stale.delete(file);
  }
}
