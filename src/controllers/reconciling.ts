import { ltiKeys, ltiRegistrations } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { KekProvider } from '../crypto/keyring.ts';
import type { Duration } from '../domain/duration.ts';
import type { TimingLimits } from '../domain/timing.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Collection } from '../kube/collection.ts';
import { Controller, type ControllerMetrics } from '../kube/controller.ts';
import type { EventRecorder } from '../kube/events.ts';
import { objectKey, type ObjectKey } from '../kube/objects.ts';
import { WorkQueue, type WorkQueueMetrics } from '../kube/workqueue.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { KeyWriter } from './ltikey/apply.ts';
import { keyReconciler } from './ltikey/reconcile.ts';
import { RegistrationApplier } from './ltiregistration/apply.ts';
import { registrationReconciler } from './ltiregistration/reconcile.ts';
import { knownRegistrations, type LastPolicies, watchKeys, watchRegistrations } from './watch.ts';
import type { PublicationObserver } from './publication/observer.ts';
import { Written } from './written.ts';
import type { LedgerUsage } from './kek-usage.ts';

export interface ReconcilingOptions {
  readonly client: KubeClient;
  readonly registrations: Collection<LtiRegistration>;
  readonly keys: Collection<LtiKey>;
  readonly keks: KekProvider;
  /** Is told what each ledger that is read says about key-encryption keys. */
  readonly usage?: LedgerUsage;
  readonly observer: PublicationObserver;
  readonly events: EventRecorder;
  readonly limits: TimingLimits;
  readonly resync: Duration;
  readonly clock: Clock;
  /** Local clock minus the API server's, milliseconds. */
  readonly clockSkew: () => number;
  readonly publicUrl?: string;
  readonly log: Logger;
  readonly metrics?: ControllerMetrics & { rotation(result: 'started' | 'activated'): void };
  readonly queueMetrics?: WorkQueueMetrics;
}

/** Registrations wait for key generation and for replicas; this many do so at a time. */
const registrationWorkers = 16;
const keyWorkers = 4;
const syncPoll: Duration = 50;
const untilServed: Duration = 40;

/** The two controllers, for one term of leadership. */
export class Reconciling {
  readonly #options: ReconcilingOptions;
  #registrationQueue: WorkQueue | undefined;
  #keyQueue: WorkQueue | undefined;
  readonly #writtenRegistrations = new Written<LtiRegistration>();
  readonly #lastPolicies: LastPolicies = new Map();
  readonly #writtenKeys = new Written<LtiKey>();

  constructor(options: ReconcilingOptions) {
    this.#options = options;
    watchRegistrations(options.registrations, this.#writtenRegistrations, this.#lastPolicies, (key) =>
      this.#registrationQueue?.add(key),
    );
    watchKeys(options.keys, this.#writtenKeys, options.clock, {
      key: (key) => this.#keyQueue?.add(key),
      registration: (key) => this.#registrationQueue?.add(key),
    });
  }

  /** Has every registration looked at, also those of which only keys are left. */
  enqueueAll(): void {
    const { registrations, keys } = this.#options;
    for (const key of knownRegistrations(registrations, keys)) this.#registrationQueue?.add(key);
  }

  /** The documents of a registration were written here; the sidecar beside it serves them in a moment. */
  published(key: ObjectKey): void {
    this.#registrationQueue?.addAfter(key, untilServed);
  }

  /** Reconciles until `signal` aborts and what was under way has ended. */
  async run(signal: AbortSignal): Promise<void> {
    const { registrations, keys, clock, log, metrics, queueMetrics } = this.#options;
    while (!(registrations.hasSynced() && keys.hasSynced()) && !signal.aborted) await sleep(clock, syncPoll, signal);
    const queue = (name: string): WorkQueue =>
      new WorkQueue({ clock, name, ...(queueMetrics ? { metrics: queueMetrics } : {}) });
    const registrationQueue = (this.#registrationQueue = queue(ltiRegistrations.plural));
    const keyQueue = (this.#keyQueue = queue(ltiKeys.plural));
    const reconcilers = this.#reconcilers(registrationQueue, keyQueue);
    const shared = { log, ...(metrics ? { metrics } : {}) };
    const controllers = [
      new Controller({
        name: ltiRegistrations.plural,
        queue: registrationQueue,
        reconcile: reconcilers.registration,
        concurrency: registrationWorkers,
        ...shared,
      }),
      new Controller({
        name: ltiKeys.plural,
        queue: keyQueue,
        reconcile: reconcilers.key,
        concurrency: keyWorkers,
        ...shared,
      }),
    ];
    this.enqueueAll();
    // An earlier leader may have left some behind: in the middle of a removal, edited, or in no ledger.
    for (const key of keys.list()) keyQueue.add(objectKey(key));
    await Promise.all(controllers.map((controller) => controller.run(signal)));
    this.#registrationQueue = undefined;
    this.#keyQueue = undefined;
  }

  #reconcilers(registrationQueue: WorkQueue, keyQueue: WorkQueue) {
    const {
      client,
      registrations,
      keys,
      keks,
      usage,
      observer,
      events,
      limits,
      resync,
      clock,
      clockSkew,
      publicUrl,
      log,
    } = this.#options;
    const writer = new KeyWriter({ client, keys, written: this.#writtenKeys, clock });
    const enqueueRegistration = (key: ObjectKey): void => registrationQueue.add(key);
    const enqueueKey = (key: ObjectKey): void => keyQueue.add(key);
    const written = this.#writtenRegistrations;
    const applier = new RegistrationApplier({
      client,
      keks,
      writer,
      written,
      events,
      clock,
      enqueueKey,
      rotation: (result) => this.#options.metrics?.rotation(result),
      ...(publicUrl === undefined ? {} : { publicUrl }),
    });
    const sources = {
      client,
      registrations,
      keys,
      writtenRegistrations: written,
      keks,
      observer,
      limits,
      clock,
      clockSkew,
      ...(usage ? { usage } : {}),
    };
    return {
      registration: registrationReconciler({
        sources,
        applier,
        removal: {
          client,
          keys,
          writer,
          keks,
          clock,
          lastPolicy: (key) => this.#lastPolicies.get(key),
          enqueueKey,
          ...(usage ? { usage } : {}),
        },
        resync,
        random: Math.random,
        log,
      }),
      key: keyReconciler({ client, writer, keks, clock, enqueueRegistration }),
    };
  }
}
