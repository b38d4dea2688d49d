import type { ListWatcher } from '../../src/kube/reflector.ts';
import type { KubeList, KubeObject, WatchEvent } from '../../src/kube/objects.ts';
import type { FakeClock } from './fake-clock.ts';

/** A collection whose answers a test sets; records all requests with their times. */
export class FakeListWatcher<T extends KubeObject> implements ListWatcher<T> {
  readonly requests: { readonly at: number; readonly what: string }[] = [];
  readonly watches: FakeWatch<T>[] = [];
  /** May throw. */
  onList: () => KubeList<T> = () => ({ metadata: { resourceVersion: '1' }, items: [] });
  /** May throw, which refuses the watch. */
  onWatch: (watch: FakeWatch<T>) => void = () => undefined;
  readonly #clock: FakeClock;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  async list(): Promise<KubeList<T>> {
    this.#record('list');
    return this.onList();
  }

  async watch(
    from: { resourceVersion: string; timeoutSeconds: number },
    signal: AbortSignal,
  ): Promise<AsyncIterable<WatchEvent<T>>> {
    this.#record(`watch ${from.resourceVersion}`);
    const watch = new FakeWatch<T>(from.timeoutSeconds, signal);
    this.onWatch(watch);
    this.watches.push(watch);
    return watch.events();
  }

  /** The newest watch. */
  get current(): FakeWatch<T> {
    const watch = this.watches.at(-1);
    if (watch === undefined) throw new Error('There is no watch');
    return watch;
  }

  /** The requests without their times. */
  get calls(): readonly string[] {
    return this.requests.map(({ what }) => what);
  }

  #record(what: string): void {
    this.requests.push({ at: this.#clock.monotonic(), what });
  }
}

/** The server's side of a watch. */
export class FakeWatch<T extends KubeObject> {
  readonly timeoutSeconds: number;
  /** Aborted when the client has closed the connection. */
  readonly signal: AbortSignal;
  readonly #pending: (WatchEvent<T> | Error | 'end')[] = [];
  #wake: () => void = () => undefined;

  constructor(timeoutSeconds: number, signal: AbortSignal) {
    this.timeoutSeconds = timeoutSeconds;
    this.signal = signal;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
  }

  send(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: T): void {
    this.#push({ type, object });
  }

  bookmark(resourceVersion: string): void {
    this.#push({ type: 'BOOKMARK', object: { metadata: { resourceVersion } } });
  }

  fail(error: Error): void {
    this.#push(error);
  }

  end(): void {
    this.#push('end');
  }

  async *events(): AsyncGenerator<WatchEvent<T>, void, undefined> {
    for (;;) {
      this.signal.throwIfAborted();
      const next = this.#pending.shift();
      if (next === 'end') return;
      if (next instanceof Error) throw next;
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #push(item: WatchEvent<T> | Error | 'end'): void {
    this.#pending.push(item);
    this.#wake();
  }
}
