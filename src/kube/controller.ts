import { type Duration, second } from '../domain/duration.ts';
import type { Logger } from '../observability/log.ts';
import { ApiError, isLostRace } from './errors.ts';
import { type ObjectKey, splitKey } from './objects.ts';
import type { Priority, WorkQueue } from './workqueue.ts';

/** The result of a successful reconcile. */
export interface Result {
  /** Reconcile again after this time even if nothing changes; absent: only after a change. */
  readonly requeueAfter?: Duration;
  /** The priority of that reconcile; absent: 1. */
  readonly priority?: Priority;
}

export interface ControllerMetrics {
  /** Called once per controller, before its first reconcile. */
  watch(controller: string, concurrency: number, activeWorkers: () => number): void;
  reconciled(controller: string, result: 'success' | 'requeue_after' | 'error', seconds: number): void;
}

export interface ControllerOptions {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly reconcile: (key: ObjectKey, signal: AbortSignal) => Promise<Result>;
  readonly concurrency: number;
  readonly log: Logger;
  readonly metrics?: ControllerMetrics;
}

/** Workers that take keys from a queue and reconcile them; keys whose reconcile throws are retried with backoff. */
export class Controller {
  readonly #options: ControllerOptions;
  #active = 0;

  constructor(options: ControllerOptions) {
    this.#options = options;
    options.metrics?.watch(options.name, options.concurrency, () => this.#active);
  }

  /** Works until `signal` aborts; then shuts the queue down, and resolves when the reconciles in progress have ended. */
  async run(signal: AbortSignal): Promise<void> {
    const { queue, concurrency } = this.#options;
    const stop = (): void => queue.shutDown();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    await Promise.all(Array.from({ length: concurrency }, () => this.#work(signal)));
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { queue } = this.#options;
    for (let key = await queue.get(); key !== undefined; key = await queue.get()) {
      // After the signal the queue is only emptied: the next process, or the next leader, lists everything again.
      if (!signal.aborted) await this.#reconcile(key, signal);
      queue.done(key);
    }
  }

  async #reconcile(key: ObjectKey, signal: AbortSignal): Promise<void> {
    const { name, queue, reconcile, log, metrics } = this.#options;
    const began = queue.clock.monotonic();
    const seconds = (): number => (queue.clock.monotonic() - began) / second;
    this.#active++;
    try {
      const { requeueAfter, priority } = await reconcile(key, signal);
      metrics?.reconciled(name, requeueAfter === undefined ? 'success' : 'requeue_after', seconds());
      queue.forget(key);
      if (requeueAfter !== undefined) queue.addAfter(key, requeueAfter, priority);
    } catch (error) {
      const lost = isLostRace(error);
      metrics?.reconciled(name, lost ? 'requeue_after' : 'error', seconds());
      const attempt = queue.addRateLimited(key, error instanceof ApiError ? error.retryAfter : undefined);
      const fields = { controller: name, ...splitKey(key), error };
      if (lost) log.debug(fields, 'another write came first; retrying');
      else log.warn({ ...fields, attempt }, 'reconcile failed; retrying');
    } finally {
      this.#active--;
    }
  }
}
