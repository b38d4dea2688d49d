import { once } from 'node:events';
import type { RequestListener, Server } from 'node:http';
import type { Registry } from 'prom-client';
import type { LogConfig, SidecarConfig } from '../config.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { sidecarMetrics } from '../observability/metrics.ts';
import { startProbes } from '../observability/probes.ts';
import { createApp } from './app.ts';
import { type Certificate, followCertificate, readCertificate, type Validity, validityOf } from './certificate.ts';
import { Connections } from './connections.ts';
import { DirectorySource, refusalReasons } from './directory-source.ts';
import { Health } from './health.ts';
import { close, createPublicServer, createSecureServer, listen, type ServerContext } from './server.ts';

export type JwksConfig = Omit<SidecarConfig, keyof LogConfig>;

export interface JwksOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Gets the sidecar's metrics and is scraped on the admin address. */
  readonly registry: Registry;
  /** Aborting it begins the orderly shutdown. */
  readonly signal: AbortSignal;
  /** How long to serve on after becoming unready. */
  readonly drainMs?: number;
}

/** With the 10 s that the Deployment's preStop sleeps: three failures of its readiness probe, 5 s each, and 2 s for the Service. */
const defaultDrainMs = 7000;

/** What the container's memory has room for beside the documents of 10,000 registrations. */
const connectionLimits = { connections: 2000, unfinishedBytes: 64 * 1024 * 1024 };

/**
 * Serves the publish directory until `signal` aborts: then it is unready at once, serves on while the Service learns
 * of it, and closes. Rejects if an address cannot be listened on or the certificate cannot be read.
 */
export async function runJwks(config: JwksConfig, options: JwksOptions): Promise<void> {
  const { clock, logger, registry, signal, drainMs = defaultDrainMs } = options;
  const health = new Health(clock);
  const metrics = sidecarMetrics(registry, {
    documents: () => source.documents.size,
    ageSeconds: () => health.ageSeconds(),
    synced: () => health.synced(),
    refusalReasons,
    refusals: () => source.refusals(),
    certificate: () => certificate?.(),
  });
  const source = new DirectorySource({
    directory: config.publishDir,
    health,
    clock,
    log: logger,
  });
  const { maxAge, keepAlive } = config;
  const connections = new Connections(clock, connectionLimits);
  const app = createApp({ source, maxAge, clock, connections, draining: () => signal.aborted });
  const serving = { keepAlive, connections, metrics };
  const { server, follow, certificate } = await createServer(app, config, serving, { clock, log: logger });
  const probes = await startProbes({
    address: config.adminAddress,
    ready: { 'synced since the start': () => health.synced(), 'not shutting down': () => !signal.aborted },
    metrics: registry,
    log: logger,
  });
  const following = new AbortController();
  try {
    void follow?.(following.signal);
    const address = await listen(server, config.address);
    logger.info({ address }, 'serving JWKS');
    logger.info({ address: `:${probes.port}` }, 'serving probes and metrics');
    await Promise.race([source.run(following.signal), signal.aborted || once(signal, 'abort')]);
    logger.info({ waitMs: drainMs }, 'shutting down');
    await sleep(clock, drainMs);
  } finally {
    await Promise.all([close(server), probes.close()]);
    following.abort();
  }
}

/** The server, and with TLS what keeps its certificate current. */
async function createServer(
  app: RequestListener,
  { tlsCert, tlsKey }: JwksConfig,
  serving: ServerContext,
  context: { clock: Clock; log: Logger },
): Promise<{ server: Server; follow?: (signal: AbortSignal) => Promise<void>; certificate?: () => Validity }> {
  if (tlsCert === undefined || tlsKey === undefined) return { server: createPublicServer(app, serving) };
  const files = { tlsCert, tlsKey };
  const certificate = await readCertificate(files);
  const server = createSecureServer(app, certificate, serving);
  let inForce = certificate;
  const renewed = (found: Certificate): void => void (inForce = found);
  return {
    server,
    follow: (signal) => followCertificate(server, files, certificate, { ...context, signal, renewed }),
    certificate: () => validityOf(inForce),
  };
}
