import { hostname } from 'node:os';
import type { Registry } from 'prom-client';
import { ltiKeys, ltiRegistrations, operatorName } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { ControllerConfig } from '../config.ts';
import { KubeClient } from '../kube/client.ts';
import { EventRecorder } from '../kube/events.ts';
import { createInformer, type Informer } from '../kube/informer.ts';
import { objectKey } from '../kube/objects.ts';
import { runAsLeader } from '../kube/leader.ts';
import type { Clock } from '../lib/clock.ts';
import { together } from '../lib/together.ts';
import type { Logger } from '../observability/log.ts';
import {
  clientMetrics,
  controllerMetrics,
  eventMetrics,
  leaderMetrics,
  operatorMetrics,
  publisherMetrics,
  watchMetrics,
  workQueueMetrics,
  writeMetrics,
} from '../observability/metrics.ts';
import { objectMetrics } from '../observability/object-metrics.ts';
import { startProbes } from '../observability/probes.ts';
import { createPublisher } from '../publish/create-publisher.ts';
import { Applier, type ApplierOptions } from './apply.ts';
import { ltiKeyIndexers } from './event-handlers.ts';
import type { Sources } from './gather.ts';
import { createKeyEncryption } from './keks/key-encryption.ts';
import { OpenedKeys } from './keys/opened-keys.ts';
import { DocumentFetcher } from './publication/document-fetcher.ts';
import { FetchCollector } from './publication/fetch-collector.ts';
import { publicationObserver } from './publication/observer.ts';
import type { ReplicaTargets } from './publication/replica-targets.ts';
import { type Replicas, replicaTargets } from './publication/replicas.ts';
import { reconciler } from './reconcile.ts';
import { RegistrationController, type RegistrationControllerOptions } from './registration-controller.ts';
import { registrationMetrics } from './registration-metrics.ts';

export interface ProcessContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly registry: Registry;
  /** Aborting it begins the orderly shutdown. */
  readonly signal: AbortSignal;
}

/** What tests replace. Everything else is what ships. */
export interface Overrides {
  readonly client?: KubeClient;
  /** The clock of connections to the API server, whose timeouts need real time. */
  readonly apiClock?: Clock;
  /** The replicas that have to serve a key, in place of the endpoints of the Service. */
  readonly targets?: ReplicaTargets;
  /** Leadership begins after this. */
  readonly mayLead?: Promise<void>;
}

/** The process that owns the keys: reconciles while it leads, publishes always. Resolves after an orderly shutdown. */
export async function runController(
  config: ControllerConfig,
  context: ProcessContext,
  overrides: Overrides = {},
): Promise<void> {
  const { clock, log, registry, signal } = context;
  const parts = await createParts(config, context, overrides);
  const { client, leaseClient, registrations, keys, replicas, documents, fetches, events } = parts;
  const { usage, kekWatch, closeKeks, controller, publisher } = parts;
  operatorMetrics(registry, {
    sealedKeys: () => usage.report(),
    kekError: () => kekWatch.error(),
    clockSkew: () => client.clockSkew(),
    pendingKeyPairs: () => controller.pendingKeyPairs(),
    jwksReplicas: () => replicas.count(),
    fetchesCollected: () => fetches.isComplete(),
  });
  publisherMetrics(registry, publisher);
  watchMetrics(registry, [...registrations.scopes, ...keys.scopes, ...replicas.scopes]);
  const lead = async (term: AbortSignal): Promise<void> => {
    await overrides.mayLead;
    await together(term, [controller, fetches, { run: (stop) => usage.run(clock, stop) }]);
  };
  const leading = { run: config.leaderElect ? elected(leaseClient, context, lead) : lead };
  // Only the leader reports registrations, so that each of their series has one value.
  const streamed = () => (controller.isLeading() ? objectMetrics(registrationMetrics(registrations, keys)) : []);
  const ready = { 'LtiRegistrations and LtiKeys are read': () => registrations.isUsable() && keys.isUsable() };
  const probes = await startProbes({ address: config.metricsAddress, ready, metrics: registry, streamed, log });
  log.info({ address: config.metricsAddress }, 'controller started');
  try {
    await together(signal, [registrations, keys, replicas, publisher, kekWatch, leading]);
  } finally {
    await events.flush();
    closeKeks();
    await Promise.all([probes.close(), documents.close(), fetches.close(), client.close(), leaseClient.close()]);
  }
}

/** Creates the parts of the process and connects them; none runs yet. */
async function createParts(config: ControllerConfig, context: ProcessContext, overrides: Overrides) {
  const { clock, log, registry } = context;
  const { watched, ...access } = apiAccess(config, context, overrides);
  const { client, registrations, keys } = access;
  const shared = { client, registrations, keys, clock, log };
  const all = config.clusterDocument || config.namespaces.length > 0;
  const replicas = replicaTargets(config, watched);
  const { documents, fetches, observer } = observation(config, { clock, log, replicas, registrations, all }, overrides);
  const metrics = eventMetrics(registry);
  const events = new EventRecorder({ client, clock: watched.clock, log, instance: hostname(), metrics });
  const { keks, kekWatch, usage, close: closeKeks } = await createKeyEncryption({ ...shared, config });
  const controller = registrationController(config, registry, { ...shared, keks, usage, observer, fetches, events });
  const published = (namespace: string, name: string): void => controller.published(`${namespace}/${name}`);
  const publisher = createPublisher({ ...shared, directory: config.publishDir, all, published });
  kekWatch.onChange(() => controller.enqueueAll());
  replicas.onChange(() => controller.replicasChanged());
  fetches.onFetched((key) => controller.fetched(key));
  return {
    ...access,
    replicas,
    documents,
    fetches,
    events,
    usage,
    kekWatch,
    closeKeks,
    controller,
    publisher,
  };
}

/** What reads from the replicas and the public URL. */
function observation(
  { jwksPublicCaFile, jwksAdminPort: adminPort }: ControllerConfig,
  parts: Pick<ProcessContext, 'clock' | 'log'> & {
    readonly replicas: Replicas;
    readonly registrations: Informer<LtiRegistration>;
    readonly all: boolean;
  },
  { targets }: Overrides,
) {
  const { clock, log, replicas, registrations, all } = parts;
  const documents = new DocumentFetcher(clock, jwksPublicCaFile);
  return {
    documents,
    fetches: new FetchCollector({
      clock,
      log,
      replicas: targets ?? replicas.own,
      adminPort,
      registrations: () => registrations.list().map(objectKey),
    }),
    observer: publicationObserver({ documents, targets: targets ?? replicas.targets, allKeys: all }),
  };
}

/** The clients of the API server, and the caches of both kinds. */
function apiAccess(
  { kubeconfig, kubeApiQps: qps, kubeApiBurst: burst, namespaces }: ControllerConfig,
  { clock, log, registry }: ProcessContext,
  overrides: Overrides,
) {
  const { apiClock = clock } = overrides;
  const options = { kubeconfig, clock: apiClock, metrics: clientMetrics(registry) };
  const client = overrides.client ?? KubeClient.load({ ...options, rate: { qps, burst } });
  const watched = { client, clock: apiClock, log, namespaces };
  return {
    client,
    // As in client-go, requests for the Lease wait for no other request, neither for their turn nor for a connection.
    leaseClient: overrides.client ?? KubeClient.load(options),
    watched,
    registrations: createInformer<LtiRegistration>({ ...watched, type: ltiRegistrations }),
    keys: createInformer<LtiKey>({ ...watched, type: ltiKeys, indexers: ltiKeyIndexers }),
  };
}

/** The controller with its reconciler, which is created for each term of leadership. */
function registrationController(
  { minimumOverlap, minimumActivationDelay, resync, jwksPublicUrl: publicUrl }: ControllerConfig,
  registry: Registry,
  shared: Omit<RegistrationControllerOptions, 'createReconciler'> &
    Pick<Sources, 'client' | 'usage' | 'fetches'> &
    Pick<ApplierOptions, 'events'>,
): RegistrationController {
  const limits = { minimumOverlap, ...(minimumActivationDelay === undefined ? {} : { minimumActivationDelay }) };
  const metrics = { ...controllerMetrics(registry), ...writeMetrics(registry) };
  return new RegistrationController({
    ...shared,
    metrics,
    queueMetrics: workQueueMetrics(registry),
    createReconciler(parts) {
      const sources = { ...shared, ...parts, limits, publicUrl, opened: new OpenedKeys() };
      return reconciler({
        sources: { ...sources, clockSkew: () => shared.client.clockSkew() },
        applier: new Applier({ ...sources, metrics }),
        resync,
        registrations: () => shared.registrations.size,
      });
    },
  });
}

/** Runs `lead` while this process holds the Lease. */
function elected(
  client: KubeClient,
  { clock, log, registry }: ProcessContext,
  lead: (term: AbortSignal) => Promise<void>,
): (stop: AbortSignal) => Promise<void> {
  // Unique to this process: a restarted container has the host name of its predecessor.
  const identity = `${hostname()}_${crypto.randomUUID()}`;
  const lease = { clock, log, client, namespace: client.namespace, name: operatorName, identity };
  return (stop) => runAsLeader({ ...lease, metrics: leaderMetrics(registry) }, lead, stop);
}
