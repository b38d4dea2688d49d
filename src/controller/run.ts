import { hostname } from 'node:os';
import type { Registry } from 'prom-client';
import { endpointSlices, ltiKeys, ltiRegistrations, operatorName } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { ControllerConfig } from '../config.ts';
import { KubeClient } from '../kube/client.ts';
import { EventRecorder } from '../kube/events.ts';
import { createInformer } from '../kube/informer.ts';
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
  type WatchSource,
  workQueueMetrics,
  writeMetrics,
} from '../observability/metrics.ts';
import { objectMetrics } from '../observability/object-metrics.ts';
import { startProbes } from '../observability/probes.ts';
import { createPublisher } from '../publish/create-publisher.ts';
import { ltiKeyIndexers } from './event-handlers.ts';
import { createKeyEncryption } from './keks/key-encryption.ts';
import { DocumentFetcher } from './publication/document-fetcher.ts';
import { FetchCollector } from './publication/fetch-collector.ts';
import { publicationObserver } from './publication/observer.ts';
import {
  serviceReplicas,
  type EndpointSlice,
  type ReplicaTargets,
  withPublicURL,
} from './publication/replica-targets.ts';
import { RegistrationController } from './registration-controller.ts';
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
  const { client, leaseClient, apiClock } = apiAccess(config, context, overrides);
  const watched = { client, clock: apiClock, log, namespaces: config.namespaces };
  const registrations = createInformer<LtiRegistration>({ ...watched, type: ltiRegistrations });
  const keys = createInformer<LtiKey>({ ...watched, type: ltiKeys, indexers: ltiKeyIndexers });
  const shared = { client, registrations, keys, clock, log };
  const replicas = replicaTargets(config, watched);
  const documents = new DocumentFetcher(clock, config.jwksPublicCaFile);
  const fetches = new FetchCollector({
    clock,
    log,
    replicas: overrides.targets ?? replicas.own,
    adminPort: config.jwksAdminPort,
    registrations: () => registrations.list().map(objectKey),
  });
  const all = config.clusterDocument || config.namespaces.length > 0;
  const observer = publicationObserver({ documents, targets: overrides.targets ?? replicas.targets, allKeys: all });
  const metrics = eventMetrics(registry);
  const events = new EventRecorder({ client, clock: apiClock, log, instance: hostname(), metrics });
  const { keks, kekWatch, usage, close: closeKeks } = await createKeyEncryption({ ...shared, config });
  const clockSkew = () => client.clockSkew();
  const settings = controllerSettings(config, registry);
  const controller = new RegistrationController({
    ...shared,
    ...settings,
    keks,
    usage,
    observer,
    fetches,
    events,
    clockSkew,
  });
  const published = (namespace: string, name: string): void => controller.published(`${namespace}/${name}`);
  const publisher = createPublisher({ ...shared, directory: config.publishDir, all, published });
  kekWatch.onChange(() => controller.enqueueAll());
  replicas.onChange(() => controller.replicasChanged());
  return {
    client,
    leaseClient,
    registrations,
    keys,
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

function apiAccess(
  { kubeconfig, kubeApiQps: qps, kubeApiBurst: burst }: ControllerConfig,
  { clock, registry }: ProcessContext,
  { client, apiClock = clock }: Overrides,
) {
  const options = { kubeconfig, clock: apiClock, metrics: clientMetrics(registry) };
  return {
    client: client ?? KubeClient.load({ ...options, rate: { qps, burst } }),
    // As in client-go, the Lease waits for no other request, neither for its turn nor for a connection.
    leaseClient: client ?? KubeClient.load(options),
    apiClock,
  };
}

function controllerSettings(config: ControllerConfig, registry: Registry) {
  const { minimumOverlap, minimumActivationDelay, resync, jwksPublicUrl: publicUrl } = config;
  return {
    limits: { minimumOverlap, ...(minimumActivationDelay === undefined ? {} : { minimumActivationDelay }) },
    resync,
    publicUrl,
    metrics: { ...controllerMetrics(registry), ...writeMetrics(registry) },
    queueMetrics: workQueueMetrics(registry),
  };
}

interface Replicas {
  /** With the public URL. */
  readonly targets: ReplicaTargets;
  /** Without it. */
  readonly own: ReplicaTargets;
  /** The watches on the endpoints. */
  readonly scopes: readonly WatchSource[];
  /** Ready endpoints of the JWKS Service; `undefined` before they are read, and if --jwks-probe-url names the replicas. */
  readonly count: () => number | undefined;
  /** Calls `handler` when replicas come or go. */
  onChange(handler: () => void): void;
  run(signal: AbortSignal): Promise<void>;
}

/** The replicas that have to serve a key: those that --jwks-probe-url names, else the endpoints of the Service; and the public URL. */
function replicaTargets(
  { jwksProbeUrls, jwksService, jwksPublicUrl }: ControllerConfig,
  watched: { readonly client: KubeClient; readonly clock: Clock; readonly log: Logger },
): Replicas {
  if (jwksProbeUrls.length > 0) {
    const own: ReplicaTargets = async () => jwksProbeUrls;
    return {
      targets: withPublicURL(own, jwksPublicUrl),
      own,
      scopes: [],
      count: () => undefined,
      onChange: () => undefined,
      run: () => Promise.resolve(),
    };
  }
  const slices = createInformer<EndpointSlice>({
    ...watched,
    type: endpointSlices,
    namespaces: [watched.client.namespace],
    labelSelector: `kubernetes.io/service-name=${jwksService}`,
  });
  const endpoints = serviceReplicas(slices, watched.clock);
  return {
    targets: withPublicURL(endpoints.targets, jwksPublicUrl),
    own: endpoints.targets,
    scopes: slices.scopes,
    count: () => endpoints.count(),
    onChange: (handler) => endpoints.onChange(handler),
    run: (signal) => slices.run(signal),
  };
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
