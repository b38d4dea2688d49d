import type { Fetched, FetchReport } from '../documents/fetch-report.ts';
import type { Clock } from '../lib/clock.ts';

/**
 * How often each document was fetched, and when last: one number and one time for each, and nothing about the client. There are
 * never more of them than documents.
 */
export class FetchCounts {
  readonly #documents: Pick<ReadonlyMap<string, unknown>, 'has' | 'size'>;
  readonly #clock: Clock;
  /** Path → how often, and when last in monotonic milliseconds. */
  readonly #counts = new Map<string, { readonly count: number; readonly lastAt: number }>();

  /** @param documents by path; it may change at any time */
  constructor(documents: Pick<ReadonlyMap<string, unknown>, 'has' | 'size'>, clock: Clock) {
    this.#documents = documents;
    this.#clock = clock;
  }

  /** Counts a fetch of a document that exists. */
  add(path: string): void {
    const count = (this.#counts.get(path)?.count ?? 0) + 1;
    // There are as many counts as documents, but none for this one, so at least one count is of a document that is gone.
    if (count === 1 && this.#counts.size >= this.#documents.size) this.#dropGone();
    this.#counts.set(path, { count, lastAt: this.#clock.monotonic() });
  }

  /** The documents that were fetched in the last `seconds`. */
  report(seconds = Infinity): FetchReport {
    this.#dropGone();
    const now = this.#clock.monotonic();
    const report = new Map<string, Fetched>();
    for (const [path, { count, lastAt }] of this.#counts) {
      const secondsAgo = Math.max(0, Math.ceil((now - lastAt) / 1000));
      if (secondsAgo <= seconds) report.set(path, { count, secondsAgo });
    }
    return report;
  }

  #dropGone(): void {
    for (const path of this.#counts.keys()) if (!this.#documents.has(path)) this.#counts.delete(path);
  }
}
