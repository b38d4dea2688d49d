import { once } from 'node:events';
import type { Registry } from 'prom-client';
import type { JwksConfig } from '../config.ts';
import { fetchReportPath, formatFetchReport } from '../documents/fetch-report.ts';
import { formatAddress, listen } from '../lib/address.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { together } from '../lib/together.ts';
import type { Logger } from '../observability/log.ts';
import { sidecarMetrics } from '../observability/metrics.ts';
import { startProbes } from '../observability/probes.ts';
import { createApp } from './app.ts';
import { ServerCertificate } from './certificate.ts';
import { ClientConnections } from './client-connections.ts';
import { DirectorySource, refusalReasons } from './directory-source.ts';
import { FetchCounts } from './fetch-counts.ts';
import { Health } from './health.ts';
import { close, createPublicServer } from './server.ts';

export interface JwksOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Receives the sidecar's metrics and is served on the admin address. */
  readonly registry: Registry;
  /** Aborting it starts the graceful shutdown. */
  readonly signal: AbortSignal;
  /** How long to keep serving after becoming unready. */
  readonly drainMs?: number;
}

/** Together with the 10 s of the Deployment's preStop: three failures of its readiness probe, 5 s each, and 2 s for the Service. */
const defaultDrainMs = 7000;

/** These fit into the container's memory beside the documents of 10,000 registrations. */
const connectionLimits = { connections: 2000, unfinishedBytes: 64 * 1024 * 1024 };

/**
 * Serves the publish directory. When `signal` aborts, the process becomes unready at once, serves for `drainMs` more while the
 * Service removes its endpoint, and closes. Rejects if it cannot listen on an address or read the certificate.
 */
export async function runJwks(config: JwksConfig, options: JwksOptions): Promise<void> {
  const { tlsCert, tlsKey, maxAge, keepAlive } = config;
  const { clock, log, registry, signal } = options;
  const withTls = tlsCert !== undefined && tlsKey !== undefined;
  const certificate = withTls ? await ServerCertificate.load({ ...options, tlsCert, tlsKey }) : undefined;
  const health = new Health(clock);
  const source = new DirectorySource({ directory: config.publishDir, health, clock, log });
  const connections = new ClientConnections(clock, connectionLimits);
  const fetches = new FetchCounts(source.documents, clock);
  const fetched = (path: string): void => fetches.add(path);
  const app = createApp({ source, maxAge, clock, connections, fetched, draining: () => signal.aborted });
  const metrics = sidecarMetrics(registry, {
    documents: () => source.documents.size,
    ageSeconds: () => health.ageSeconds(),
    synced: () => health.synced(),
    refusalReasons,
    refusals: () => source.refusals(),
    certificate: () => certificate?.parsed(),
  });
  const server = createPublicServer(app, { keepAlive, connections, metrics }, certificate);
  const probes = await startProbes({
    address: config.adminAddress,
    ready: { 'synced since the start': () => health.synced(), 'not shutting down': () => !signal.aborted },
    metrics: registry,
    reports: { [fetchReportPath]: (query) => formatFetchReport(fetches.report(secondsIn(query))) },
    log,
  });
  const drained = new AbortController();
  const drainer = { run: (failed: AbortSignal) => drain(options, failed).then(() => drained.abort()) };
  try {
    const bound = await listen(server, config.address, 'JWKS');
    log.info({ address: formatAddress(bound) }, 'serving JWKS');
    log.info({ address: `:${probes.port}` }, 'serving probes and metrics');
    await together(drained.signal, [source, drainer, ...(certificate ? [certificate] : [])]);
  } finally {
    await Promise.all([close(server), probes.close()]);
  }
}

/** Serves for `drainMs` more after `signal`, unless another part of the process fails. */
async function drain(
  { clock, log, signal, drainMs = defaultDrainMs }: JwksOptions,
  failed: AbortSignal,
): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort', { signal: failed });
  log.info({ waitMs: drainMs }, 'shutting down');
  await sleep(clock, drainMs, failed);
}

/** `within`: a number of seconds. Anything else means no limit. */
function secondsIn(query: URLSearchParams): number {
  const within = query.get('within') ?? '';
  return /^\d{1,9}$/.test(within) ? Number(within) : Infinity;
}
