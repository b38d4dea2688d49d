import { ltiKeys } from '../api/names.ts';
import type { LtiKey } from '../api/objects.ts';
import type { PublisherConfig } from '../config.ts';
import { KubeClient } from '../kube/client.ts';
import { createInformer } from '../kube/informer.ts';
import type { Clock } from '../lib/clock.ts';
import { together } from '../lib/together.ts';
import type { Logger } from '../observability/log.ts';
import { clientMetrics, publisherMetrics, watchMetrics } from '../observability/metrics.ts';
import { startProbes } from '../observability/probes.ts';
import type { Registry } from 'prom-client';
import { createPublisher } from './create-publisher.ts';

/** The read-only process, which publishes LtiKeys and owns none. Resolves after a graceful shutdown. */
export async function runPublisher(
  config: PublisherConfig,
  { clock, log, registry, signal }: { clock: Clock; log: Logger; registry: Registry; signal: AbortSignal },
): Promise<void> {
  const { kubeconfig, namespaces, kubeApiQps: qps, kubeApiBurst: burst } = config;
  const client = KubeClient.load({ kubeconfig, clock, metrics: clientMetrics(registry), rate: { qps, burst } });
  const registration = ({ metadata, spec }: LtiKey): string => `${metadata.namespace}/${spec.registrationRef.name}`;
  const keys = createInformer<LtiKey>({ client, type: ltiKeys, namespaces, indexers: { registration }, clock, log });
  const all = config.clusterDocument || namespaces.length > 0;
  const publisher = createPublisher({ directory: config.publishDir, all, client, keys, clock, log });
  publisherMetrics(registry, {
    documents: () => publisher.documents(),
    lastSync: () => publisher.lastSync(),
    failures: () => publisher.failures(),
  });
  watchMetrics(registry, keys.scopes);
  const ready = { 'LtiKeys are read': () => keys.isUsable() };
  const probes = await startProbes({ address: config.metricsAddress, ready, metrics: registry, log });
  log.info({ address: config.metricsAddress }, 'publisher started');
  try {
    await together(signal, [keys, publisher]);
  } finally {
    await Promise.all([probes.close(), client.close()]);
  }
}
