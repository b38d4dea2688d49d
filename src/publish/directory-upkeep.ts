import type { Clock } from '../lib/clock.ts';
import type { Job } from '../lib/schedule.ts';
import type { DocumentDirectory } from './document-directory.ts';
import type { DocumentWriter } from './document-writer.ts';
import type { PreviousRun } from './previous-run.ts';
import { absenceGraceMs } from './published-key.ts';
import type { WarnOnce } from './warn-once.ts';

/** Comparing 10,000 files takes 30 ms of CPU, which at every heartbeat would be most of the work of an idle operator. */
export const fileCheckMs = 30_000;
const never = Number.POSITIVE_INFINITY;

export interface DirectoryUpkeepOptions {
  readonly directory: DocumentDirectory;
  readonly writer: DocumentWriter;
  readonly previousRun: PreviousRun;
  readonly clock: Clock;
  readonly warnings: WarnOnce;
  /** Called after files were marked as stale. */
  readonly stale: () => void;
  /** Called when a job may be due at another time. */
  readonly rescheduled: () => void;
}

/** Restores documents that something else deleted or changed, and removes documents of a previous run that no LtiKey accounts for. */
export class DirectoryUpkeep {
  readonly #options: DirectoryUpkeepOptions;
  #fileCheckAt = never;
  #removalAt = never;

  readonly fileCheck: Job = { dueAt: () => this.#fileCheckAt, run: () => this.#restoreAltered() };
  /** It waits for the API server, and other jobs do not wait for it. */
  readonly removal: Job = { dueAt: () => this.#removalAt, run: () => void this.#removeLeftovers() };

  constructor(options: DirectoryUpkeepOptions) {
    this.#options = options;
  }

  /** Call it once all documents have been written. */
  start(): void {
    const now = this.#options.clock.monotonic();
    this.#fileCheckAt = now + fileCheckMs;
    // Not earlier, because the operator may recreate lost LtiKeys. By then the registrations that were held back for the grace
    // period are written, too.
    this.#removalAt = now + 2 * absenceGraceMs;
  }

  /** Without its file, the sidecar answers 404 for a document that the API server has keys for; after a restart, also with a damaged one. */
  async #restoreAltered(): Promise<void> {
    const { directory, writer, clock, warnings, stale } = this.#options;
    this.#fileCheckAt = clock.monotonic() + fileCheckMs;
    try {
      const altered = await directory.takeAltered();
      if (altered.length === 0) return;
      warnings.alteredFiles(altered.length);
      writer.markStale(altered);
      stale();
    } catch (error) {
      warnings.unusable(error);
    }
  }

  async #removeLeftovers(): Promise<void> {
    const { writer, previousRun, clock, warnings, stale, rescheduled } = this.#options;
    this.#removalAt = never;
    try {
      const current = new Set(writer.files());
      const { gone, unconfirmed } = await previousRun.leftovers((file) => current.has(file));
      writer.markStale(gone);
      if (gone.length > 0) stale();
      if (unconfirmed) this.#removalAt = clock.monotonic() + absenceGraceMs;
    } catch (error) {
      warnings.unusable(error);
      this.#removalAt = clock.monotonic() + absenceGraceMs;
    }
    rescheduled();
  }
}
