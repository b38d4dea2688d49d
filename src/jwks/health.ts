import { allKeysPath } from '../api/names.ts';
import type { Heartbeat } from '../documents/heartbeat.ts';
import type { Clock } from '../lib/clock.ts';

/** After this many milliseconds without a heartbeat the publisher is taken for gone: three were missed. */
const heartbeatLifeMs = 15_000;

/**
 * What the publisher's heartbeats say. A heartbeat that was there when this process started is of an earlier life: only
 * a later one makes the server ready. It is told apart by its content, so a clock that is set back delays nothing.
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

  /** Takes in what the heartbeat file holds now; `undefined` where there is no such file or it cannot be read. */
  heartbeat(beat: Heartbeat | undefined): void {
    if (beat !== undefined && beat.syncedAt !== this.#newest) {
      this.#newest = beat.syncedAt;
      this.#unread = beat.unread;
      if (!this.#firstRead) this.#beatAt = this.#clock.monotonic();
    }
    this.#firstRead = false;
  }

  /** Whether a publisher has synchronised since this process started. It stays true. */
  synced(): boolean {
    return this.#beatAt !== undefined;
  }

  /**
   * Whether there may be a document at this path of which nobody knows, because the publisher could not read a namespace:
   * `/namespaces/<it>/…`, `/registrations/<it>/…`, and the document of all namespaces.
   */
  unread(path: string): boolean {
    if (path === allKeysPath) return this.#unread.length > 0;
    const [, kind, namespace = ''] = path.split('/', 3);
    return (kind === 'namespaces' || kind === 'registrations') && this.#unread.includes(namespace);
  }

  /** Whether the publisher is at work now. */
  publisherAlive(): boolean {
    return this.#beatAt !== undefined && this.#clock.monotonic() - this.#beatAt <= heartbeatLifeMs;
  }

  /** Seconds since the newest heartbeat, of whatever life; `undefined` before any. */
  ageSeconds(): number | undefined {
    if (this.#newest === undefined) return undefined;
    return Math.max(0, (this.#clock.now().getTime() - Date.parse(this.#newest)) / 1000);
  }
}
