import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { ApiError, TransportError } from './errors.ts';
import type { ListWatcher } from './list-watcher.ts';
import type { KubeObject, ResourceType } from './objects.ts';
import { ListWatchReflector, type Reflector } from './reflector.ts';
import type { Indexer } from './store.ts';

/** So long others wait for the first answer about a scope that is neither there nor refused. */
const patienceMs = 30_000;

export interface ScopeOptions<T extends KubeObject> {
  readonly type: ResourceType;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly source: ListWatcher<T>;
  readonly indexers?: Readonly<Record<string, Indexer<T>>>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * One kind in one namespace, or in all of them: its objects, and whether they are current. A scope whose namespace or rights are
 * gone fails for itself:
 *
 *     awaited ──read──► current ◄──── watch accepted ────┐
 *        │                  └──── anything failed ──► failing, with the objects as they were at last
 *        └── refused (403, 404), or no answer for 30 s ──► unread, and tried again for ever
 */
export class Scope<T extends KubeObject> {
  readonly namespace: string | undefined;
  readonly reflector: Reflector<T>;
  readonly #options: ScopeOptions<T>;
  readonly #readHandlers: (() => void)[] = [];
  #startedAt: number | undefined;
  #told = false;
  #refused = false;
  #failingSince: Date | undefined;
  /** What the log said last of what is wrong. */
  #said: string | undefined;

  constructor(options: ScopeOptions<T>) {
    const { source, clock, indexers, namespace } = options;
    this.#options = options;
    this.namespace = namespace;
    this.reflector = new ListWatchReflector<T>({
      source: {
        list: (page, signal) => source.list(page, signal),
        watch: async (from, signal) => {
          this.#tellRead();
          const events = await source.watch(from, signal);
          this.#recovered();
          return events;
        },
      },
      clock,
      onError: (error) => this.#failed(error),
      ...(indexers ? { indexers } : {}),
    });
  }

  /** The plural of the kind. */
  get resource(): string {
    return this.#options.type.plural;
  }

  hasSynced(): boolean {
    return this.reflector.hasSynced();
  }

  connected(): boolean {
    return this.reflector.connected();
  }

  /** Whether others wait for the first list: it may come any moment. */
  isAwaited(): boolean {
    if (this.hasSynced() || this.#refused) return false;
    return this.#startedAt === undefined || this.#options.clock.monotonic() - this.#startedAt < patienceMs;
  }

  /** Whether the last attempt to list or watch failed. */
  isFailing(): boolean {
    return this.#failingSince !== undefined;
  }

  /** Until when the objects were as new as the API server's; now, while nothing fails. `undefined` before the first list. */
  currentUntil(): Date | undefined {
    return this.hasSynced() ? (this.#failingSince ?? this.#options.clock.now()) : undefined;
  }

  /** Called once all objects have been read for the first time, and handed to those who want changes. */
  onRead(handler: () => void): void {
    this.#readHandlers.push(handler);
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#startedAt = this.#options.clock.monotonic();
    await this.reflector.run(signal);
  }

  /** The reflector watches from a list that it has taken in. */
  #tellRead(): void {
    if (this.#told) return;
    this.#told = true;
    for (const handler of this.#readHandlers) handler();
  }

  #recovered(): void {
    this.#refused = false;
    this.#failingSince = undefined;
    if (this.#said !== undefined) this.#options.log.info(this.#fields(), 'watch is back');
    this.#said = undefined;
  }

  /** Each cause is said once, however often it is tried again. */
  #failed(error: unknown): void {
    const { clock, log } = this.#options;
    const cause = causeOf(error);
    if (cause === undefined) return log.error({ ...this.#fields(), error }, 'a change could not be taken in');
    this.#refused = error instanceof ApiError && (error.status === 403 || error.status === 404);
    this.#failingSince ??= clock.now();
    if (cause === this.#said) return;
    this.#said = cause;
    log.warn({ ...this.#fields(), error }, 'watch failed; it is tried again');
  }

  #fields(): { readonly resource: string; readonly namespace?: string } {
    const { resource, namespace } = this;
    return { resource, ...(namespace === undefined ? {} : { namespace }) };
  }
}

/** `undefined` for what a handler threw. */
function causeOf(error: unknown): string | undefined {
  if (error instanceof ApiError) return String(error.status);
  return error instanceof TransportError ? error.failure : undefined;
}
