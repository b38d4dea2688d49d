import type { X509Certificate } from 'node:crypto';
import { Registry } from 'prom-client';
import type { ControllerMetrics } from '../kube/controller.ts';
import type { EventRecorderOptions } from '../kube/events.ts';
import type { LeaderOptions } from '../kube/leader.ts';
import type { ClientMetrics } from '../kube/transport.ts';
import type { WorkQueueFigures, WorkQueueMetrics } from '../kube/workqueue.ts';
import { computedCounter, computedGauge, counter, epochSeconds, gauge, histogram } from './instruments.ts';
import { clientTable, controllerTable, processTable, publisherTable, sidecarTable } from './metric-table.ts';

/**
 * A registry with the metrics of every process. prom-client's default metrics keep a 10 ms timer and a garbage collection observer
 * running, for some fifty series, and a user can act on these alone.
 */
export function createRegistry(version: string): Registry {
  const registry = new Registry();
  const startedAt = Date.now() / 1000 - process.uptime();
  computedGauge(registry, processTable.buildInfo, () => [[{ version }, 1]]);
  computedCounter(registry, processTable.cpu, () => [[{}, cpuSeconds()]]);
  computedGauge(registry, processTable.startTime, () => [[{}, startedAt]]);
  computedGauge(registry, processTable.residentMemory, () => [[{}, process.memoryUsage.rss()]]);
  computedGauge(registry, processTable.heapUsed, () => [[{}, process.memoryUsage().heapUsed]]);
  computedGauge(registry, processTable.eventLoopLag, async () => [[{}, await eventLoopLagSeconds()]]);
  return registry;
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function eventLoopLagSeconds(): Promise<number> {
  const asked = performance.now();
  await new Promise((resolve) => setImmediate(resolve));
  return (performance.now() - asked) / 1000;
}

export function clientMetrics(registry: Registry): ClientMetrics {
  const requests = counter(registry, clientTable.requests);
  const duration = histogram(registry, clientTable.duration);
  return {
    request(method, code, seconds) {
      requests.inc({ method, code });
      duration.observe({ method }, seconds);
    },
  };
}

/** The watch of one resource in one namespace, or in all. */
export interface WatchSource {
  readonly namespace: string | undefined;
  readonly resource: string;
  hasSynced(): boolean;
  isFailing(): boolean;
  currentUntil(): Date | undefined;
}

/** One series per resource and --namespace. */
export function watchMetrics(registry: Registry, watches: readonly WatchSource[]): void {
  const labels = ({ resource, namespace = '' }: WatchSource) => ({ resource, namespace });
  computedGauge(registry, clientTable.watchCurrent, () =>
    watches.map((watch) => [labels(watch), watch.hasSynced() && !watch.isFailing() ? 1 : 0]),
  );
  computedGauge(registry, clientTable.watchCurrentUntil, () =>
    watches.map((watch) => [labels(watch), epochSeconds(watch.currentUntil())]),
  );
}

export function workQueueMetrics(registry: Registry): WorkQueueMetrics {
  const adds = counter(registry, controllerTable.queueAdds);
  const retries = counter(registry, controllerTable.queueRetries);
  const wait = histogram(registry, controllerTable.queueWait);
  const work = histogram(registry, controllerTable.queueWork);
  const queues = new Map<string, () => WorkQueueFigures>();
  const figure = (of: keyof WorkQueueFigures) => () =>
    [...queues].map(([name, figures]) => [{ name }, figures()[of]] as const);
  computedGauge(registry, controllerTable.queueDepth, figure('depth'));
  computedGauge(registry, controllerTable.queueUnfinished, figure('unfinishedSeconds'));
  computedGauge(registry, controllerTable.queueLongest, figure('longestRunningSeconds'));
  return {
    watch: (name, figures) => void queues.set(name, figures),
    added: (name) => adds.inc({ name }),
    retried: (name) => retries.inc({ name }),
    waited: (name, seconds) => wait.observe({ name }, seconds),
    worked: (name, seconds) => work.observe({ name }, seconds),
  };
}

export function controllerMetrics(registry: Registry): ControllerMetrics {
  const reconciles = counter(registry, controllerTable.reconciles);
  const errors = counter(registry, controllerTable.reconcileErrors);
  const time = histogram(registry, controllerTable.reconcileTime);
  const maximum = gauge(registry, controllerTable.maximumWorkers);
  const controllers = new Map<string, () => number>();
  computedGauge(registry, controllerTable.activeWorkers, () =>
    [...controllers].map(([controller, active]) => [{ controller }, active()] as const),
  );
  return {
    watch(controller, concurrency, activeWorkers) {
      maximum.set({ controller }, concurrency);
      controllers.set(controller, activeWorkers);
      // Series start at zero, so that Prometheus sees the first error as an increase.
      for (const result of ['success', 'requeue_after', 'error']) reconciles.inc({ controller, result }, 0);
      errors.inc({ controller }, 0);
    },
    reconciled(controller, outcome, seconds) {
      reconciles.inc({ controller, result: outcome });
      if (outcome === 'error') errors.inc({ controller });
      time.observe({ controller }, seconds);
    },
  };
}

export function leaderMetrics(registry: Registry): NonNullable<LeaderOptions['metrics']> {
  const leader = gauge(registry, controllerTable.leader);
  return { leading: (name, is) => leader.set({ name }, is ? 1 : 0) };
}

export function eventMetrics(registry: Registry): NonNullable<EventRecorderOptions['metrics']> {
  const dropped = counter(registry, controllerTable.eventsDropped);
  return { dropped: (reason) => dropped.inc({ reason }) };
}

export interface OperatorSources {
  /** Why private keys cannot be sealed, one of a fixed set of reasons; undefined if they can. */
  readonly kekError: () => string | undefined;
  /** Keys sealed under each key-encryption key, and whether every ledger was counted; undefined unless leading. */
  readonly sealedKeys: () => { readonly complete: boolean; readonly counts: ReadonlyMap<string, number> } | undefined;
  /** Local clock minus the API server's. */
  readonly clockSkew: () => number | undefined;
  /** Key pairs that are being generated or waiting for a core. */
  readonly pendingKeyPairs: () => number;
  /** Ready endpoints of the JWKS Service. */
  readonly jwksReplicas: () => number | undefined;
  readonly fetchesCollected: () => boolean;
}

export interface WriteMetrics {
  rotation(result: 'started' | 'activated'): void;
  /** The API server refused a write of this resource, or did not process it. */
  refused(resource: string): void;
}

const writtenResources = ['secrets', 'ltikeys', 'ltikeys/status', 'ltiregistrations/status'];

/** Metrics of the operator as a whole. The sources are read at each scrape. */
export function operatorMetrics(registry: Registry, sources: OperatorSources): void {
  computedGauge(registry, controllerTable.kekAvailable, () => [[{}, sources.kekError() === undefined ? 1 : 0]]);
  computedGauge(registry, controllerTable.kekError, () => {
    const reason = sources.kekError();
    return reason === undefined ? [] : [[{ reason }, 1]];
  });
  computedGauge(registry, controllerTable.sealedKeys, () =>
    [...(sources.sealedKeys()?.counts ?? [])].map(([kekID, count]) => [{ kek_id: kekID }, count] as const),
  );
  computedGauge(registry, controllerTable.sealedKeysComplete, () => {
    const usage = sources.sealedKeys();
    return usage ? [[{}, usage.complete ? 1 : 0]] : [];
  });
  computedGauge(registry, controllerTable.clockSkew, () => {
    const skew = sources.clockSkew();
    return [[{}, skew === undefined ? undefined : skew / 1000]];
  });
  computedGauge(registry, controllerTable.jwksReplicas, () => [[{}, sources.jwksReplicas()]]);
  computedGauge(registry, controllerTable.fetchesCollected, () => [[{}, sources.fetchesCollected() ? 1 : 0]]);
  computedGauge(registry, controllerTable.pendingKeyPairs, () => [[{}, sources.pendingKeyPairs()]]);
}

/** What the operator writes. */
export function writeMetrics(registry: Registry): WriteMetrics {
  const rotations = counter(registry, controllerTable.rotations);
  for (const result of ['started', 'activated']) rotations.inc({ result }, 0);
  const refused = counter(registry, controllerTable.refusedWrites);
  for (const resource of writtenResources) refused.inc({ resource }, 0);
  return {
    rotation: (result) => rotations.inc({ result }),
    refused: (resource) => refused.inc({ resource }),
  };
}

export interface PublisherSources {
  readonly documents: () => number;
  readonly lastSync: () => Date | undefined;
  /** Consecutive failed writes to the publish directory. */
  readonly failures: () => number;
}

export function publisherMetrics(registry: Registry, sources: PublisherSources): void {
  computedGauge(registry, publisherTable.documents, () => [[{}, sources.documents()]]);
  computedGauge(registry, publisherTable.lastSync, () => [[{}, epochSeconds(sources.lastSync())]]);
  computedGauge(registry, publisherTable.failures, () => [[{}, sources.failures()]]);
}

export interface SidecarSources {
  readonly documents: () => number;
  /** Seconds since the served documents were known to be current; undefined before the first sync. */
  readonly ageSeconds: () => number | undefined;
  /** Whether a publisher has synchronized since this process started. */
  readonly synced: () => boolean;
  readonly refusalReasons: readonly string[];
  /** The reason for each file that is refused now. */
  readonly refusals: () => Iterable<string>;
  /** The current certificate; undefined without TLS. */
  readonly certificate: () => Pick<X509Certificate, 'validFromDate' | 'validToDate'> | undefined;
}

export interface SidecarMetrics {
  request(code: number): void;
}

export function sidecarMetrics(registry: Registry, sources: SidecarSources): SidecarMetrics {
  // Counted in a Map and copied at the scrape: incrementing a counter with labels costs as much as serving the request.
  const requests = new Map<number, number>();
  computedCounter(registry, sidecarTable.requests, () =>
    [...requests].map(([code, total]) => [{ code: String(code) }, total] as const),
  );
  computedGauge(registry, sidecarTable.documents, () => [[{}, sources.documents()]]);
  computedGauge(registry, sidecarTable.age, () => [[{}, sources.ageSeconds()]]);
  computedGauge(registry, sidecarTable.synced, () => [[{}, sources.synced() ? 1 : 0]]);
  computedGauge(registry, sidecarTable.refusedFiles, () => {
    const counts = new Map(sources.refusalReasons.map((reason) => [reason, 0]));
    for (const reason of sources.refusals()) counts.set(reason, (counts.get(reason) ?? 0) + 1);
    return [...counts].map(([reason, count]) => [{ reason }, count] as const);
  });
  computedGauge(registry, sidecarTable.certificateStart, () => [
    [{}, epochSeconds(sources.certificate()?.validFromDate)],
  ]);
  computedGauge(registry, sidecarTable.certificateEnd, () => [[{}, epochSeconds(sources.certificate()?.validToDate)]]);
  return { request: (code) => void requests.set(code, (requests.get(code) ?? 0) + 1) };
}
