import { ltiRegistrations } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { KekProvider } from '../crypto/kek-provider.ts';
import { type Duration, minute } from '../domain/duration.ts';
import type { TimingLimits } from '../domain/timing.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { Controller, type ControllerMetrics } from '../kube/controller.ts';
import type { EventRecorder } from '../kube/events.ts';
import { type ObjectKey, splitKey } from '../kube/objects.ts';
import { type Priority, WorkQueue, type WorkQueueMetrics } from '../kube/workqueue.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { Applier, type ApplierMetrics } from './apply.ts';
import { sealPair } from './keys/key-material.ts';
import type { LedgerUsage } from './keks/kek-usage.ts';
import { KeyGenerator } from './keys/key-generator.ts';
import { OpenedKeys } from './keys/opened-keys.ts';
import type { PublicationObserver } from './publication/observer.ts';
import { stagger } from './publication/stagger.ts';
import { PendingPublications } from './publication/pending-publications.ts';
import { RecentLedgers } from './secrets/recent-ledgers.ts';
import { reconciler } from './reconcile.ts';
import { knownRegistrations, priorityOf, watch, type Watched } from './wake-ups.ts';
import { OwnWrites } from './own-writes.ts';

export interface RegistrationControllerOptions {
  readonly client: KubeClient;
  readonly registrations: Informer<LtiRegistration>;
  readonly keys: Informer<LtiKey>;
  readonly keks: KekProvider;
  readonly usage: LedgerUsage;
  readonly observer: PublicationObserver;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly limits: TimingLimits;
  readonly resync: Duration;
  readonly clock: Clock;
  /** Local clock minus the API server's, milliseconds; `undefined` before its first answer. */
  readonly clockSkew: () => Duration | undefined;
  readonly publicUrl: string | undefined;
  readonly log: Logger;
  readonly metrics?: ControllerMetrics & ApplierMetrics;
  readonly queueMetrics?: WorkQueueMetrics;
}

/** Registrations wait for replicas and for the API server; this many do so at a time. */
const workers = 16;
const syncPoll: Duration = 50;
/** A sidecar serves what was written beside it after about this time. */
const untilServed: Duration = 40;
/** A change of the set of replicas has everything looked at within this time. */
const afterReplicasChanged: Duration = minute;

/** The controller of registrations, for one term of leadership. */
export class RegistrationController {
  readonly #options: RegistrationControllerOptions;
  readonly #watched: Watched;
  readonly #recent: RecentLedgers;
  #queue: WorkQueue | undefined;
  #generator: KeyGenerator | undefined;

  constructor(options: RegistrationControllerOptions) {
    this.#options = options;
    const { registrations, keys } = options;
    const written = { registrations: new OwnWrites<LtiRegistration>(), keys: new OwnWrites<LtiKey>() };
    this.#watched = { registrations, keys, written, lastSeen: new Map() };
    this.#recent = new RecentLedgers(options.clock);
    watch(this.#watched, (key) => {
      this.#recent.forget(key);
      this.#enqueue(key);
    });
    for (const collection of [registrations, keys]) collection.onRead((namespace) => this.enqueueAll(namespace));
  }

  /** Has every registration looked at, or those of one namespace; also those of which only keys are left. */
  enqueueAll(namespace?: string): void {
    for (const key of knownRegistrations(this.#watched)) {
      if (namespace === undefined || splitKey(key).namespace === namespace) this.#enqueue(key);
    }
  }

  /** The documents of a registration were written here; the sidecar beside it serves them in a moment. */
  published(key: ObjectKey): void {
    this.#enqueue(key, untilServed);
  }

  /** Replicas came or went: whether they serve everything is looked at again, spread over time. */
  replicasChanged(): void {
    stagger([...knownRegistrations(this.#watched)], afterReplicasChanged, (key, delay) => this.#enqueue(key, delay));
  }

  /** Key pairs that are being made, or wait for their turn. */
  pendingKeyPairs(): number {
    return this.#generator?.pending ?? 0;
  }

  /** Reconciles until `signal` aborts and what was under way has ended. */
  async run(signal: AbortSignal): Promise<void> {
    const { registrations, keys, keks, clock, log, metrics, queueMetrics, client, events } = this.#options;
    while (!(registrations.isUsable() && keys.isUsable()) && !signal.aborted) await sleep(clock, syncPoll, signal);
    const name = ltiRegistrations.plural;
    const queue = (this.#queue = new WorkQueue({ clock, name, ...(queueMetrics ? { metrics: queueMetrics } : {}) }));
    const generator = (this.#generator = new KeyGenerator({
      seal: (key, pair) => sealPair(key, pair, keks),
      // A pair that could not be sealed is asked for again later, for each attempt makes one.
      ready: (key, failure) =>
        failure === undefined
          ? queue.add(key, begun(priorityOf(this.#watched, key)))
          : queue.addRateLimited(key, 0, priorityOf(this.#watched, key)),
    }));
    const { written, lastSeen } = this.#watched;
    const recent = this.#recent;
    const pending = new PendingPublications({
      observer: this.#options.observer,
      clock,
      changed: (key) => this.#enqueue(key),
    });
    const reconcile = reconciler({
      sources: {
        ...this.#options,
        observer: pending,
        written,
        lastSeen,
        recent,
        generator,
        opened: new OpenedKeys(),
      },
      applier: new Applier({ client, keks, generator, written, recent, events, log, metrics }),
      resync: this.#options.resync,
      registrations: () => registrations.size,
      random: Math.random,
    });
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

  /** A namespace is left alone until both its registrations and its LtiKeys have been read: then all of it is looked at. */
  #enqueue(key: ObjectKey, delay: Duration = 0): void {
    const { registrations, keys } = this.#options;
    const { namespace } = splitKey(key);
    if (!registrations.isRead(namespace) || !keys.isRead(namespace)) return;
    const priority = priorityOf(this.#watched, key);
    if (delay > 0) this.#queue?.addAfter(key, delay, priority);
    else this.#queue?.add(key, priority);
  }
}

/** A registration whose key pair is there is no new one any more: what was begun first is Ready first. */
function begun(priority: Priority): Priority {
  return priority === 2 ? 1 : priority;
}
