import { type Clock, sleep } from '../lib/clock.ts';
import { Backoff } from './backoff.ts';
import { ChangeFeed, type ChangeHandler } from './change-feed.ts';
import { ApiError, TransportError } from './errors.ts';
import type { ListWatcher } from './list-watcher.ts';
import type { KubeObject, WatchEvent } from './objects.ts';
import { type Indexer, Store } from './store.ts';

/** Keeps a store equal to a collection of the API server, and tells of changes. */
export interface Reflector<T extends KubeObject> {
  readonly store: Store<T>;
  /** Whether the collection has been read completely once; stays true. */
  hasSynced(): boolean;
  /** Whether the store is as new as it gets: a watch is established, or ended in time a moment ago. */
  connected(): boolean;
  onChange(handler: ChangeHandler<T>): void;
  /** Resolves when stopped; nothing is opened or told afterwards. */
  run(signal: AbortSignal): Promise<void>;
}

export interface ReflectorOptions<T extends KubeObject> {
  readonly source: ListWatcher<T>;
  readonly clock: Clock;
  /** Told of what went wrong, all of which is retried, and of what a handler threw. */
  readonly onError: (error: unknown) => void;
  readonly indexers?: Readonly<Record<string, Indexer<T>>>;
  /** In [0, 1). */
  readonly random?: () => number;
  readonly pageSize?: number;
}

/**
 * How long a watch lasts, at the most. A connection that died without a word (a load balancer that failed over, say) looks like
 * one on which nothing happens, and bookmarks come only about once a minute: what tells them apart in time for a revocation is
 * that the API server ends a live watch after this long. The next one goes on from the same version over the same connection:
 * neither a list nor a handshake, whatever the number of objects. HTTP/2 pings would be cheaper, but undici sends them without
 * noticing that no answer comes, and what stands in front of an API server may answer them itself.
 */
const watchSeconds = 25;
/** Up to this much of it is taken off at random, so that watches do not end together. */
const watchSpreadSeconds = 5;
/** A watch that has not ended this long after it should have is dead. */
const overdueMs = 5_000;
/** The next watch is open well within this; until then the store counts as current. */
const reopeningMs = 2_000;
/** After a watch this long, earlier failures no longer count. */
const healthyMs = 15_000;
/** A longer `Retry-After` is not believed. */
const longestRetryAfterMs = 60_000;

/**
 * ```
 *   list all pages ──► replace the store ──► watch from the list's version ◄─┐
 *         ▲                                        │                        │
 *         │                                        ▼                        │
 *      backoff ◄─ expired, garbled, older or no ─ end ─ server's timeout, ──┘
 *                 events; a second failure             connection lost, or dead: backoff
 * ```
 * A failure never touches the store: only a complete list or an event of a watch does.
 */
export class ListWatchReflector<T extends KubeObject> implements Reflector<T> {
  readonly store: Store<T>;
  readonly #options: Required<Omit<ReflectorOptions<T>, 'indexers'>>;
  readonly #feed: ChangeFeed<T>;
  readonly #backoff: Backoff;
  #synced = false;
  #connected = false;
  /** Where the next watch starts; undefined when the collection must be listed first. */
  #resourceVersion: string | undefined;

  constructor({ indexers, ...options }: ReflectorOptions<T>) {
    this.#options = { random: Math.random, pageSize: 500, ...options };
    this.store = new Store<T>(indexers);
    this.#feed = new ChangeFeed(this.store, this.#options.onError);
    this.#backoff = new Backoff(this.#options.random);
  }

  hasSynced(): boolean {
    return this.#synced;
  }

  connected(): boolean {
    return this.#connected;
  }

  onChange(handler: ChangeHandler<T>): void {
    this.#feed.subscribe(handler);
  }

  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#feed.close(), { once: true });
    while (!signal.aborted) {
      const delay = await this.#listAndWatch(signal);
      if (delay > 0) await sleep(this.#options.clock, delay, signal);
    }
  }

  /** Until the watch ends or anything fails; returns how long to wait before the next attempt, in milliseconds. */
  async #listAndWatch(signal: AbortSignal): Promise<number> {
    try {
      this.#resourceVersion ??= await this.#list(signal);
      const healthy = await this.#watch(this.#resourceVersion, signal);
      // the server ends every watch in time, but one that does so at once must not be asked in a tight loop
      if (healthy) return 0;
      this.#connected = false;
      return this.#backoff.next();
    } catch (error) {
      this.#connected = false;
      if (signal.aborted) return 0;
      this.#options.onError(error);
      const delay = this.#backoff.next();
      if (mustRelist(error) || this.#backoff.failures > 1) this.#resourceVersion = undefined;
      return Math.max(delay, retryAfterMs(error));
    }
  }

  /** Returns the version of the list, all of whose pages are of that one version. */
  async #list(signal: AbortSignal): Promise<string> {
    const { source, pageSize: limit } = this.#options;
    const objects: T[] = [];
    let page = await source.list({ limit }, signal);
    objects.push(...page.items);
    while (page.metadata.continue !== undefined) {
      page = await source.list({ limit, continue: page.metadata.continue }, signal);
      objects.push(...page.items);
    }
    signal.throwIfAborted();
    const { resourceVersion } = page.metadata;
    if (!resourceVersion) throw new TransportError('Malformed', 'The list has no resource version to watch from');
    this.#feed.replaceAll(objects);
    this.#synced = true;
    // a handler may have stopped it
    signal.throwIfAborted();
    return resourceVersion;
  }

  /** Until the server closes the watch; returns whether it was open for long. */
  async #watch(resourceVersion: string, signal: AbortSignal): Promise<boolean> {
    const { source, clock, random } = this.#options;
    const connection = new AbortController();
    const watchSignal = AbortSignal.any([signal, connection.signal]);
    const timeoutSeconds = watchSeconds - Math.floor(random() * (watchSpreadSeconds + 1));
    let cancelTimer = clock.setTimer(() => (this.#connected = false), reopeningMs);
    let opened: number | undefined;
    try {
      const events = await source.watch({ resourceVersion, timeoutSeconds }, watchSignal);
      cancelTimer();
      opened = clock.monotonic();
      this.#connected = !signal.aborted;
      const dead = new TransportError(
        'Timeout',
        `The watch did not end after ${timeoutSeconds} s: its connection is dead`,
      );
      cancelTimer = clock.setTimer(() => connection.abort(dead), timeoutSeconds * 1000 + overdueMs);
      for await (const event of events) this.#take(event);
    } finally {
      cancelTimer();
      connection.abort();
      if (isHealthy(opened, clock)) this.#backoff.reset();
    }
    return isHealthy(opened, clock);
  }

  #take(event: WatchEvent<T>): void {
    const { resourceVersion } = event.object.metadata;
    if (resourceVersion === undefined || isOlder(resourceVersion, this.#resourceVersion)) {
      throw new TransportError(
        'Malformed',
        `The watch went back from version ${this.#resourceVersion} to ${resourceVersion}`,
      );
    }
    this.#resourceVersion = resourceVersion;
    if (event.type === 'DELETED') this.#feed.delete(event.object);
    else if (event.type !== 'BOOKMARK') this.#feed.put(event.object);
  }
}

function isHealthy(opened: number | undefined, clock: Clock): boolean {
  return opened !== undefined && clock.monotonic() - opened >= healthyMs;
}

/** Resource versions of one resource are decimal numbers that only grow (guaranteed since Kubernetes 1.35). */
function isOlder(version: string, than: string | undefined): boolean {
  return than !== undefined && BigInt(version) < BigInt(than);
}

/**
 * Whether the watch cannot go on where it stopped: the version expired (410), the type is gone (404), or what came can
 * no longer be trusted. A version may also be one the server does not know yet, of an etcd since restored from a backup:
 * for that a second failure in a row is answered by a list too.
 */
function mustRelist(error: unknown): boolean {
  if (error instanceof ApiError) return ![401, 403, 429].includes(error.status) && error.status < 500;
  return !(error instanceof TransportError && error.failure !== 'Malformed');
}

function retryAfterMs(error: unknown): number {
  return error instanceof ApiError ? Math.min(error.retryAfterMs ?? 0, longestRetryAfterMs) : 0;
}
