import { allKeysPath } from '../api/names.ts';
import type { Heartbeat } from '../documents/heartbeat.ts';
import type { Clock } from '../lib/clock.ts';

/** Without a heartbeat for this long, which is three intervals, the publisher counts as gone. */
const heartbeatLifeMs = 15_000;

/**
 * The state of the publisher, from its heartbeats. The heartbeat that was there when this process started may be from a previous
 * run: only a later one makes the server ready. Heartbeats are distinguished by content, so a clock that is set back delays nothing.
 */
export class Health {
  readonly #clock: Clock;
  #newest: string | undefined;
  #firstRead = true;
  #beatAt: number | undefined;
  #unread: readonly string[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Records the heartbeat that the file holds now; `undefined` if there is none or it cannot be read. */
  heartbeat(beat: Heartbeat | undefined): void {
    if (beat !== undefined && beat.syncedAt !== this.#newest) {
      this.#newest = beat.syncedAt;
      this.#unread = beat.unread;
      if (!this.#firstRead) this.#beatAt = this.#clock.monotonic();
    }
    this.#firstRead = false;
  }

  /** Whether a publisher has synced since this process started. It stays true. */
  synced(): boolean {
    return this.#beatAt !== undefined;
  }

  /**
   * Whether an unknown document may exist at this path, because the publisher could not read a namespace: `/namespaces/<it>/…`,
   * `/registrations/<it>/…`, and the document of all namespaces.
   */
  unread(path: string): boolean {
    if (path === allKeysPath) return this.#unread.length > 0;
    const [, kind, namespace = ''] = path.split('/', 3);
    return (kind === 'namespaces' || kind === 'registrations') && this.#unread.includes(namespace);
  }

  /** Whether the publisher is working now. */
  publisherAlive(): boolean {
    return this.#beatAt !== undefined && this.#clock.monotonic() - this.#beatAt <= heartbeatLifeMs;
  }

  /** Seconds since the newest heartbeat, even if it is from a previous run; `undefined` before any. */
  ageSeconds(): number | undefined {
    if (this.#newest === undefined) return undefined;
    return Math.max(0, (this.#clock.now().getTime() - Date.parse(this.#newest)) / 1000);
  }
}
