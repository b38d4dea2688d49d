import { formatHeartbeat } from '../documents/heartbeat.ts';
import type { Clock } from '../lib/clock.ts';
import type { DocumentDirectory } from './document-directory.ts';
import type { WarnOnce } from './warn-once.ts';

/** Writes the heartbeat into the publish directory, and records whether that succeeds. */
export class HeartbeatWriter {
  readonly #directory: DocumentDirectory;
  readonly #clock: Clock;
  readonly #warnings: WarnOnce;
  #failures = 0;
  #lastSync: Date | undefined;

  constructor(directory: DocumentDirectory, clock: Clock, warnings: WarnOnce) {
    this.#directory = directory;
    this.#clock = clock;
    this.#warnings = warnings;
  }

  /** The time of the newest heartbeat. */
  lastSync(): Date | undefined {
    return this.#lastSync;
  }

  /** Consecutive failed attempts. */
  failures(): number {
    return this.#failures;
  }

  /** @param unread the namespaces that the documents lack */
  async write(unread: readonly string[]): Promise<void> {
    try {
      const now = this.#clock.now();
      await this.#directory.writeHeartbeat(formatHeartbeat({ syncedAt: now.toISOString(), unread }));
      this.#lastSync = now;
      this.#failures = 0;
      this.#warnings.usable();
    } catch (error) {
      this.#failures += 1;
      this.#warnings.unusable(error);
    }
  }
}
