import type { Logger } from '../observability/log.ts';
import { ApiError, isAlreadyExists, isConflict } from './errors.ts';
import { splitKey, type ObjectKey } from './objects.ts';
import type { Priority, WorkQueue } from './workqueue.ts';

/** What a reconcile that went well asks for. */
export interface Result {
  /** Look again after this time even if nothing changes; absent: only when something changes. */
  readonly requeueAfterMs?: number;
  /** How urgent that look is; absent: what was begun (1). */
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
  /** Makes the world agree with what the object asks for. `signal` aborts when the controller is to stop. */
  readonly reconcile: (key: ObjectKey, signal: AbortSignal) => Promise<Result>;
  readonly concurrency: number;
  readonly log: Logger;
  readonly metrics?: ControllerMetrics;
}

/** Workers that take keys from a queue and reconcile them; what they throw decides what happens next. */
export class Controller {
  readonly #options: ControllerOptions;
  #active = 0;

  constructor(options: ControllerOptions) {
    this.#options = options;
    options.metrics?.watch(options.name, options.concurrency, () => this.#active);
  }

  /** Works until `signal` aborts; resolves when the reconciles in flight have ended. The queue is then shut down. */
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
    const { name, queue, reconcile, metrics } = this.#options;
    const began = queue.clock.monotonic();
    const seconds = (): number => (queue.clock.monotonic() - began) / 1000;
    this.#active++;
    try {
      const { requeueAfterMs, priority } = await reconcile(key, signal);
      metrics?.reconciled(name, requeueAfterMs === undefined ? 'success' : 'requeue_after', seconds());
      queue.forget(key);
      if (requeueAfterMs !== undefined) queue.addAfter(key, requeueAfterMs, priority);
    } catch (error) {
      metrics?.reconciled(name, lostRace(error) ? 'requeue_after' : 'error', seconds());
      this.#failed(key, error);
    } finally {
      this.#active--;
    }
  }

  #failed(key: ObjectKey, error: unknown): void {
    const { name, queue, log } = this.#options;
    const fields = { controller: name, ...splitKey(key), error };
    // a revocation that failed is still one
    queue.addRateLimited(key, error instanceof ApiError ? error.retryAfterMs : undefined, queue.priorityOf(key));
    if (lostRace(error)) log.debug(fields, 'another write was first; it is read again');
    else log.warn({ ...fields, attempt: queue.failures(key) }, 'reconcile failed; it is tried again');
  }
}

/** Nothing is wrong: somebody else wrote first, and what they wrote may not have arrived here yet. */
function lostRace(error: unknown): boolean {
  return isConflict(error) || isAlreadyExists(error);
}
