import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { Counter, Gauge, Registry } from 'prom-client';
import type { RefusalCounts, RequestCounts } from './counts.ts';
import type { Health } from './health.ts';
import type { DocumentSource } from './source.ts';

export interface AdminOptions {
  readonly health: Health;
  readonly source: DocumentSource;
  readonly requests: RequestCounts;
  readonly refusals: RefusalCounts;
  readonly draining: () => boolean;
}

/** Probes and metrics, away from the public port. */
export function createAdminServer({ health, source, requests, refusals, draining }: AdminOptions): Server {
  const registry = new Registry();
  const registers = [registry];
  new Counter({
    name: 'lti_jwks_requests_total',
    help: 'Answers by status code.',
    labelNames: ['code'],
    registers,
    collect() {
      this.reset();
      for (const [code, count] of requests.entries()) this.inc({ code }, count);
    },
  });
  new Counter({
    name: 'lti_jwks_refused_files_total',
    help: 'Files.',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of refusals.entries()) this.inc({ reason }, count);
    },
  });
  new Gauge({
    name: 'lti_jwks_documents',
    help: 'd',
    registers,
    collect() {
      this.set(source.documents.size);
    },
  });
  new Gauge({
    name: 'lti_jwks_age_seconds',
    help: 'd',
    registers,
    collect() {
      this.set(health.ageSeconds() ?? NaN);
    },
  });
  return createServer((request, response) => {
    if (request.url === '/healthz') response.end('ok\n');
    else if (request.url === '/readyz') response.writeHead(health.synced() && !draining() ? 200 : 503).end();
    else if (request.url === '/metrics') void registry.metrics().then((text) => response.end(text));
    else response.writeHead(404).end();
  });
}
