import { hostname } from 'node:os';
import type { Registry } from 'prom-client';
import { endpointSlices, ltiKeys, ltiRegistrations, operatorName } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import type { ControllerConfig } from '../config.ts';
import { CombinedKekProvider } from '../crypto/combined-kek-provider.ts';
import { FileKekProvider } from '../crypto/file-kek-provider.ts';
import type { KekProvider } from '../crypto/kek-provider.ts';
import { KmsKekProvider } from '../crypto/kms/kms-kek-provider.ts';
import { KubeClient } from '../kube/client.ts';
import { EventRecorder } from '../kube/events.ts';
import { runAsLeader } from '../kube/leader.ts';
import { createInformer } from '../kube/informer.ts';
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
} from '../observability/metrics.ts';
import { objectMetrics } from '../observability/object-metrics.ts';
import { startProbes } from '../observability/probes.ts';
import { createPublisher } from '../publish/create-publisher.ts';
import { CanariedKekProvider } from './keks/kek-canary.ts';
import { KekUsage } from './keks/kek-usage.ts';
import { KekWatch } from './keks/kek-watch.ts';
import { DocumentFetcher } from './publication/document-fetcher.ts';
import { publicationObserver } from './publication/observer.ts';
import {
  serviceReplicas,
  type EndpointSlice,
  type ReplicaTargets,
  withPublicURL,
} from './publication/replica-targets.ts';
import { RegistrationController } from './registration-controller.ts';
import { registrationMetrics } from './registration-metrics.ts';
import { knownRegistrations, ltiKeyIndexers } from './wake-ups.ts';

export interface ProcessContext {
  readonly clock: Clock;
  readonly log: Logger;
  readonly registry: Registry;
  /** Aborting it begins the orderly shutdown. */
  readonly signal: AbortSignal;
}

/** Where tests look into the process or stand in for a part of it. All the rest is what ships. */
export interface Seams {
  readonly client?: KubeClient;
  /** Of connections to the API server, whose timeouts are about real time. */
  readonly apiClock?: Clock;
  /** Who has to serve a key, instead of the endpoints of the Service. */
  readonly targets?: ReplicaTargets;
  /** Leadership is not taken before. */
  readonly mayLead?: Promise<void>;
}

/** The process that owns the keys: reconciles while it leads, publishes always. Resolves after an orderly shutdown. */
export async function runController(
  config: ControllerConfig,
  { clock, log, registry, signal }: ProcessContext,
  seams: Seams = {},
): Promise<void> {
  const { kubeconfig, namespaces, kubeApiQps: qps, kubeApiBurst: burst } = config;
  const { apiClock = clock } = seams;
  const api = { kubeconfig, clock: apiClock, metrics: clientMetrics(registry) };
  const client = seams.client ?? KubeClient.load({ ...api, rate: { qps, burst } });
  // as in client-go: the Lease waits for no other request, neither for its turn nor for a connection
  const leaseClient = seams.client ?? KubeClient.load(api);
  const shared = { client, clock, log };
  const watched = { client, clock: apiClock, log, namespaces };
  const registrations = createInformer<LtiRegistration>({ ...watched, type: ltiRegistrations });
  const keys = createInformer<LtiKey>({ ...watched, type: ltiKeys, indexers: ltiKeyIndexers });
  const all = config.clusterDocument || namespaces.length > 0;
  const publisher = createPublisher({
    ...shared,
    directory: config.publishDir,
    all,
    keys,
    published: (namespace, registration) => registrationController.published(`${namespace}/${registration}`),
  });
  const replicas = replicaTargets(config, { ...shared, clock: apiClock }, () =>
    registrationController.replicasChanged(),
  );
  const targets = seams.targets ?? replicas.targets;
  const documents = new DocumentFetcher(clock, config.jwksPublicCaFile);
  const events = new EventRecorder({
    client,
    clock: apiClock,
    log,
    instance: hostname(),
    metrics: eventMetrics(registry),
  });
  const { source, close: closeKeks } = await kekSource(config, clock);
  const keks = new CanariedKekProvider({ keks: source, client, namespace: client.namespace, keys, clock });
  const kekWatch = new KekWatch({ keks, clock, log, changed: () => registrationController.enqueueAll() });
  const usage = new KekUsage({
    known: () => (registrations.isWhole() && keys.isWhole() ? knownRegistrations({ registrations, keys }) : undefined),
    isKnown: (key) => registrations.get(key) !== undefined || keys.byIndex('registration', key).length > 0,
    sealingKeyID: () => kekWatch.sealingKeyID(),
    canaryIDs: () => keks.canaryIDs(),
    log,
  });
  const counters = operatorMetrics(registry, {
    sealedKeys: () => usage.report(),
    kekError: () => kekWatch.error(),
    clockSkew: () => client.clockSkew(),
    pendingKeyPairs: () => registrationController.pendingKeyPairs(),
    jwksReplicas: () => replicas.count(),
  });
  const registrationController = new RegistrationController({
    ...shared,
    registrations,
    keys,
    keks,
    usage,
    observer: publicationObserver({ documents, targets, allKeys: all }),
    events,
    limits: {
      minimumOverlap: config.minimumOverlap,
      ...(config.minimumActivationDelay === undefined ? {} : { minimumActivationDelay: config.minimumActivationDelay }),
    },
    resync: config.resync,
    clockSkew: () => client.clockSkew(),
    publicUrl: config.jwksPublicUrl,
    metrics: { ...controllerMetrics(registry), ...counters },
    queueMetrics: workQueueMetrics(registry),
  });
  publisherMetrics(registry, {
    documents: () => publisher.documents(),
    lastSync: () => publisher.lastSync(),
    failures: () => publisher.failures(),
  });
  watchMetrics(registry, [...registrations.scopes, ...keys.scopes, ...replicas.scopes]);
  const ready = { 'LtiRegistrations and LtiKeys are read': () => registrations.isUsable() && keys.isUsable() };
  let current: AbortSignal | undefined;
  // A registration has one reporter, so that each of its series has one value.
  const streamed = (): Iterable<string> =>
    current?.aborted === false ? objectMetrics(registrationMetrics(registrations, keys)) : [];
  const probes = await startProbes({ address: config.metricsAddress, ready, metrics: registry, streamed, log });

  const lead = async (term: AbortSignal): Promise<void> => {
    await seams.mayLead;
    current = term;
    await together(term, [registrationController, { run: (stop) => usage.run(clock, stop) }]);
  };
  const lease = {
    clock,
    log,
    client: leaseClient,
    namespace: client.namespace,
    name: operatorName,
    identity: identity(),
  };
  const elected = (stop: AbortSignal): Promise<void> =>
    runAsLeader({ ...lease, metrics: leaderMetrics(registry) }, lead, stop);
  const leading = { run: config.leaderElect ? elected : lead };
  log.info({ address: config.metricsAddress }, 'controller started');
  try {
    await together(signal, [registrations, keys, replicas, publisher, kekWatch, leading]);
  } finally {
    await events.flush();
    closeKeks();
    await Promise.all([probes.close(), documents.close(), client.close(), leaseClient.close()]);
  }
}

/** gRPC is only loaded for a KMS: it takes memory. */
async function kekSource(
  { kekDir, kmsSocket }: ControllerConfig,
  clock: Clock,
): Promise<{ source: KekProvider; close: () => void }> {
  const files = kekDir === undefined ? undefined : new FileKekProvider({ directory: kekDir, clock });
  if (kmsSocket === undefined) return { source: files!, close: () => undefined };
  const { GrpcKms } = await import('../crypto/kms/grpc-kms.ts');
  const service = new GrpcKms({ socket: kmsSocket });
  const kms = new KmsKekProvider({ kms: service, clock });
  return { source: files ? new CombinedKekProvider({ files, kms }) : kms, close: () => service.close() };
}

interface Replicas {
  readonly targets: ReplicaTargets;
  /** What is watched to know them. */
  readonly scopes: readonly WatchSource[];
  /** Ready endpoints of the JWKS Service; `undefined` while nobody knows, and where --jwks-probe-url names replicas. */
  readonly count: () => number | undefined;
  run(signal: AbortSignal): Promise<void>;
}

/** The replicas that have to serve a key: those named, or else the endpoints of the Service; and the public URL. */
function replicaTargets(
  { jwksProbeUrls, jwksService, jwksPublicUrl }: ControllerConfig,
  watched: { readonly client: KubeClient; readonly clock: Clock; readonly log: Logger },
  changed: () => void,
): Replicas {
  if (jwksProbeUrls.length > 0) {
    return {
      targets: withPublicURL(async () => jwksProbeUrls, jwksPublicUrl),
      scopes: [],
      count: () => undefined,
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
  endpoints.onChange(changed);
  return {
    targets: withPublicURL(endpoints.targets, jwksPublicUrl),
    scopes: slices.scopes,
    count: () => endpoints.count(),
    run: (signal) => slices.run(signal),
  };
}

/** Unique to this process: a restarted container has the host name of its predecessor. */
function identity(): string {
  return `${hostname()}_${crypto.randomUUID()}`;
}
