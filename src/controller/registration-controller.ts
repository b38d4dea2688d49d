import { ltiRegistrations } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { KekProvider } from '../crypto/kek-provider.ts';
import { type Duration, minute } from '../domain/duration.ts';
import type { Informer } from '../kube/informer.ts';
import { Controller, type ControllerMetrics, type Result } from '../kube/controller.ts';
import { type ObjectKey, splitKey } from '../kube/objects.ts';
import { WorkQueue, type WorkQueueMetrics } from '../kube/workqueue.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { sealPair } from './keys/key-material.ts';
import { KeyGenerator } from './keys/key-generator.ts';
import type { PublicationObserver } from './publication/observer.ts';
import { stagger } from './publication/stagger.ts';
import { PendingPublications } from './publication/pending-publications.ts';
import { LedgerCache } from './secrets/ledger-cache.ts';
import { addEventHandlers, knownRegistrations, priorityOf, reportsNoFetch, type Watched } from './event-handlers.ts';
import { OwnWrites } from './own-writes.ts';

export interface RegistrationControllerOptions {
  readonly registrations: Informer<LtiRegistration>;
  readonly keys: Informer<LtiKey>;
  readonly keks: KekProvider;
  readonly observer: PublicationObserver;
  readonly createReconciler: (parts: ReconcilerParts) => (key: ObjectKey) => Promise<Result>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: ControllerMetrics;
  readonly queueMetrics?: WorkQueueMetrics;
}

/** What the controller shares with the reconciler of one term of leadership. */
export interface ReconcilerParts extends Pick<Watched, 'ownWrites' | 'lastSeen'> {
  readonly generator: KeyGenerator;
  readonly observer: PublicationObserver;
  readonly ledgers: LedgerCache;
}

/** Passes at a time. They mostly wait for replicas and for the API server. */
const workers = 16;
const syncPoll: Duration = 50;
/** The sidecar serves a new document about this long after it was written. */
const untilServed: Duration = 40;
/** After a change of the replicas, every registration is reconciled within this time. */
const afterReplicasChanged: Duration = minute;

/** The controller of registrations, for one term of leadership. */
export class RegistrationController {
  readonly #options: RegistrationControllerOptions;
  readonly #watched: Watched;
  readonly #ledgers: LedgerCache;
  #term: AbortSignal | undefined;
  #queue: WorkQueue | undefined;
  #generator: KeyGenerator | undefined;

  constructor(options: RegistrationControllerOptions) {
    this.#options = options;
    const { registrations, keys } = options;
    const ownWrites = { registrations: new OwnWrites<LtiRegistration>(), keys: new OwnWrites<LtiKey>() };
    this.#watched = { registrations, keys, ownWrites, lastSeen: new Map() };
    this.#ledgers = new LedgerCache(options.clock);
    addEventHandlers(this.#watched, (key) => {
      this.#ledgers.delete(key);
      this.#enqueue(key);
    });
    for (const collection of [registrations, keys]) collection.onRead((namespace) => this.enqueueAll(namespace));
  }

  /** Enqueues every registration, or those of one namespace, including those that have only LtiKeys left. */
  enqueueAll(namespace?: string): void {
    for (const key of knownRegistrations(this.#watched)) {
      if (namespace === undefined || splitKey(key).namespace === namespace) this.#enqueue(key);
    }
  }

  /** The documents of a registration were written: enqueues it for when the sidecar serves them. */
  published(key: ObjectKey): void {
    this.#enqueue(key, untilServed);
  }

  /** A client fetched the document: enqueues the registration if its status says that no client has. */
  fetched(key: ObjectKey): void {
    if (reportsNoFetch(this.#options.registrations.get(key))) this.#enqueue(key);
  }

  /** Replicas came or went: enqueues every registration, evenly spread over a minute. */
  replicasChanged(): void {
    stagger([...knownRegistrations(this.#watched)], afterReplicasChanged, (key, delay) => this.#enqueue(key, delay));
  }

  /** Key pairs that are being generated or wait for a core. */
  pendingKeyPairs(): number {
    return this.#generator?.pending ?? 0;
  }

  isLeading(): boolean {
    return this.#term?.aborted === false;
  }

  /** Reconciles until `signal` aborts, and returns when the passes in flight have ended. */
  async run(signal: AbortSignal): Promise<void> {
    const { registrations, keys, observer, clock, log, metrics, queueMetrics, createReconciler } = this.#options;
    this.#term = signal;
    while (!(registrations.isUsable() && keys.isUsable()) && !signal.aborted) await sleep(clock, syncPoll, signal);
    const name = ltiRegistrations.plural;
    const queue = (this.#queue = new WorkQueue({ clock, name, ...(queueMetrics ? { metrics: queueMetrics } : {}) }));
    const generator = (this.#generator = this.#createGenerator(queue));
    const pending = new PendingPublications({ observer, clock, changed: (key) => this.#enqueue(key) });
    const { ownWrites, lastSeen } = this.#watched;
    const reconcile = createReconciler({ generator, observer: pending, ledgers: this.#ledgers, ownWrites, lastSeen });
    const controller = new Controller({
      name,
      queue,
      reconcile: (key) => {
        pending.remove(key);
        return reconcile(key);
      },
      concurrency: workers,
      log,
      ...(metrics ? { metrics } : {}),
    });
    this.enqueueAll();
    await Promise.all([controller.run(signal), pending.run(signal)]);
    generator.stop();
    this.#queue = undefined;
  }

  #createGenerator(queue: WorkQueue): KeyGenerator {
    return new KeyGenerator({
      seal: (key, pair) => sealPair(key, pair, this.#options.keks),
      ready: (key, failure) => {
        const priority = priorityOf(this.#watched, key);
        // A registration whose key pair is ready goes before new ones, so that the registrations that were started first are Ready first.
        if (failure === undefined) queue.add(key, priority === 2 ? 1 : priority);
        // Each attempt generates a pair: after a failure, the next request waits.
        else queue.addRateLimited(key, 0, priority);
      },
    });
  }

  /** Ignores a namespace until its registrations and its LtiKeys have been read; then all of it is enqueued. */
  #enqueue(key: ObjectKey, delay: Duration = 0): void {
    const { registrations, keys } = this.#options;
    const { namespace } = splitKey(key);
    if (!registrations.isRead(namespace) || !keys.isRead(namespace)) return;
    const priority = priorityOf(this.#watched, key);
    if (delay > 0) this.#queue?.addAfter(key, delay, priority);
    else this.#queue?.add(key, priority);
  }
}
