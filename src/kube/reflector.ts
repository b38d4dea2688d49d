import { type Duration, second } from '../domain/duration.ts';
import { type Clock, sleep, withDeadline } from '../lib/clock.ts';
import { ApiError, TransportError } from './errors.ts';
import type { KubeList, KubeObject, WatchEvent } from './objects.ts';
import type { Store } from './store.ts';

/** The objects of one type in one namespace, or in all namespaces. */
export interface ListWatcher<T extends KubeObject> {
  /** Resolves with all objects of one version. */
  list(signal: AbortSignal): Promise<KubeList<T>>;
  /** Resolves when the server has accepted the watch. The events end if the server closes it, and throw if it fails or aborts. */
  watch(
    from: { resourceVersion: string; timeoutSeconds: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<WatchEvent<T>>>;
}

export interface ReflectorOptions<T extends KubeObject> {
  readonly source: ListWatcher<T>;
  readonly store: Store<T>;
  readonly clock: Clock;
  /** Called once, when all objects have been stored for the first time. */
  readonly onSynced: () => void;
  /** Called each time the server has accepted a watch. */
  readonly onWatch: () => void;
  /** Called with each failure; the reflector then retries. */
  readonly onError: (error: unknown) => void;
  /** In [0, 1). */
  readonly random?: () => number;
}

/**
 * The longest duration of a watch. A dead connection looks like an idle one; because the API server ends a live watch after
 * this time, a dead one is detected early enough for a revocation. The next watch continues on the same connection, without a
 * list or a handshake (alternatives: docs/design/0015-tried-and-rejected.md).
 */
const watchSeconds = 25;
/** Watches are shorter by a random part of this, so that they do not end together. */
const watchSpreadSeconds = 5;
/** A watch that has not ended this long after its timeout is dead. */
const overdue: Duration = 5 * second;
/** The store counts as current for this long between two watches. */
const reopening: Duration = 2 * second;
/** A watch of this duration resets the backoff. */
const healthy: Duration = 15 * second;
/** The first and the longest backoff, before jitter: each is lengthened by up to as much again. */
const firstBackoff: Duration = 0.8 * second;
const longestBackoff: Duration = 15 * second;
/** The longest `Retry-After` that is respected. */
const longestRetryAfter: Duration = 60 * second;

/**
 * Keeps a store equal to a collection of the API server:
 * ```
 *   list all ────────► replace the store ──► watch from the list's version ◄─┐
 *         ▲                                        │                        │
 *         │                                        ▼                        │
 *      backoff ◄─ expired, malformed, older or no ─ end ─ server's timeout, ─┘
 *                 events; a second failure             connection lost, or dead: backoff
 * ```
 * A failure never changes the store: only a complete list or an event of a watch does.
 */
export class Reflector<T extends KubeObject> {
  readonly #options: Required<ReflectorOptions<T>>;
  #synced = false;
  #connected = false;
  /** Failures and short watches in a row. */
  #failures = 0;
  /** Where the next watch starts; undefined if the collection must be listed first. */
  #resourceVersion: string | undefined;

  constructor(options: ReflectorOptions<T>) {
    this.#options = { random: Math.random, ...options };
  }

  /** Whether the collection has been listed completely once; stays true. */
  hasSynced(): boolean {
    return this.#synced;
  }

  /** Whether the store is current: a watch is open, or the server ended one a moment ago. */
  connected(): boolean {
    return this.#connected;
  }

  /** Resolves when `signal` has aborted; afterwards no request is sent and no handler called. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#options;
    signal.addEventListener('abort', () => store.close(), { once: true });
    while (!signal.aborted) {
      const delay = await this.#listAndWatch(signal);
      if (delay > 0) await sleep(clock, delay, signal);
    }
  }

  /** Returns when the watch ends or a request fails, with the delay before the next attempt. */
  async #listAndWatch(signal: AbortSignal): Promise<Duration> {
    try {
      this.#resourceVersion ??= await this.#list(signal);
      // a server that ends every watch at once must not cause a tight loop
      if (await this.#watch(this.#resourceVersion, signal)) return 0;
      this.#connected = false;
      return this.#backoff();
    } catch (error) {
      this.#connected = false;
      if (signal.aborted) return 0;
      this.#options.onError(error);
      const delay = this.#backoff();
      if (mustRelist(error) || this.#failures > 1) this.#resourceVersion = undefined;
      return Math.max(delay, retryAfter(error));
    }
  }

  /** Returns the version of the list. */
  async #list(signal: AbortSignal): Promise<string> {
    const { source, store, onSynced } = this.#options;
    const { metadata, items } = await source.list(signal);
    signal.throwIfAborted();
    store.replaceAll(items);
    const first = !this.#synced;
    this.#synced = true;
    // a handler may have aborted it
    signal.throwIfAborted();
    if (first) onSynced();
    return metadata.resourceVersion;
  }

  /** Returns when the server closes the watch: whether it was open long enough to be healthy. */
  async #watch(resourceVersion: string, signal: AbortSignal): Promise<boolean> {
    const { source, clock, random, onWatch } = this.#options;
    const connection = new AbortController();
    const timeoutSeconds = watchSeconds - Math.floor(random() * (watchSpreadSeconds + 1));
    const late = () =>
      new TransportError('Timeout', `The watch did not end after ${timeoutSeconds} s: its connection is dead`);
    const cancelTimer = clock.setTimer(() => (this.#connected = false), reopening);
    let opened = Infinity;
    const isHealthy = (): boolean => clock.monotonic() - opened >= healthy;
    try {
      const events = await source.watch(
        { resourceVersion, timeoutSeconds },
        AbortSignal.any([signal, connection.signal]),
      );
      onWatch();
      cancelTimer();
      opened = clock.monotonic();
      this.#connected = !signal.aborted;
      await withDeadline({ clock, milliseconds: timeoutSeconds * second + overdue, late, signal }, async (open) => {
        for await (const event of events) {
          // Events that had arrived before the deadline or the abort may still follow.
          open.throwIfAborted();
          this.#apply(event);
        }
      });
    } finally {
      cancelTimer();
      connection.abort();
      if (isHealthy()) this.#failures = 0;
    }
    return isHealthy();
  }

  #apply(event: WatchEvent<T>): void {
    const { resourceVersion } = event.object.metadata;
    if (resourceVersion === undefined || isOlder(resourceVersion, this.#resourceVersion)) {
      throw new TransportError(
        'Malformed',
        `The watch went back from version ${this.#resourceVersion} to ${resourceVersion}`,
      );
    }
    this.#resourceVersion = resourceVersion;
    if (event.type === 'DELETED') this.#options.store.delete(event.object);
    else if (event.type !== 'BOOKMARK') this.#options.store.put(event.object);
  }

  #backoff(): Duration {
    const step = Math.min(longestBackoff, firstBackoff * 2 ** this.#failures++);
    return step * (1 + this.#options.random());
  }
}

/** Resource versions of one resource are decimal numbers that only grow (guaranteed since Kubernetes 1.35; true of etcd before). */
function isOlder(version: string, than: string | undefined): boolean {
  return than !== undefined && BigInt(version) < BigInt(than);
}

/**
 * Whether the watch cannot continue where it stopped: the version expired (410), the type is gone (404), or the answer
 * cannot be trusted. The version may also be ahead of the server's, if etcd was restored from a backup; for that case, a
 * second failure in a row leads to a list, too.
 */
function mustRelist(error: unknown): boolean {
  if (error instanceof ApiError) return ![401, 403, 429].includes(error.status) && error.status < 500;
  return !(error instanceof TransportError && error.failure !== 'Malformed');
}

function retryAfter(error: unknown): Duration {
  return error instanceof ApiError ? Math.min(error.retryAfter ?? 0, longestRetryAfter) : 0;
}
