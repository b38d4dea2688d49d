import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listen } from '../lib/address.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { Logger } from './log.ts';
import { type MetricsRegistry, Scrapes } from './scrapes.ts';

export interface ProbeOptions {
  /** `host:port`, or `:port` for every interface. Port 0 selects a free port. */
  readonly address: string;
  /** Named conditions. The process is ready if all of them hold. */
  readonly ready: Readonly<Record<string, () => boolean>>;
  readonly metrics: MetricsRegistry;
  /** Further metrics in the text format, in pieces, because they may be too long for one string. */
  readonly streamed?: () => Iterable<string>;
  /** Path → JSON for a GET of it. */
  readonly reports?: Readonly<Record<string, (query: URLSearchParams) => string>>;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface ProbeServer {
  readonly port: number;
  /** Resolves after the last response. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
}

/** Enough for the kubelet, a few Prometheus servers and a user. Idle connections are closed for new ones. */
const mostConnections = 64;

/**
 * Serves `/healthz` (always 200), `/readyz` (200, or 503 with the conditions that do not hold, one per line) and `/metrics`,
 * and reports. Rejects if it cannot listen.
 */
export async function startProbes(options: ProbeOptions): Promise<ProbeServer> {
  const scrapes = new Scrapes({ clock: systemClock, ...options });
  const server = createServer(
    { headersTimeout: 5_000, requestTimeout: 10_000, connectionsCheckingInterval: 1_000 },
    (request, response) => void respond(options, scrapes, request, response),
  );
  server.maxConnections = mostConnections;
  server.on('drop', () => server.closeIdleConnections());
  const { port } = await listen(server, options.address, 'probes and metrics');
  return {
    port,
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}

async function respond(
  options: ProbeOptions,
  scrapes: Scrapes,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method, url = '' } = request;
  const [path = '', query = ''] = url.split('?', 2);
  if (path === '/metrics' && method === 'GET') return scrapes.answer(response);
  const { status, body, type = 'text/plain; charset=utf-8' } = answer(options, method, path, query);
  response.writeHead(status, {
    'Content-Type': path === '/metrics' && status === 200 ? options.metrics.contentType : type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
  });
  response.end(method === 'HEAD' ? undefined : body);
}

function answer(options: ProbeOptions, method: string | undefined, path: string, query: string): Answer {
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, body: 'method not allowed\n' };
  switch (path) {
    case '/healthz':
      return { status: 200, body: 'ok\n' };
    case '/readyz':
      return readiness(options);
    case '/metrics':
      return { status: 200, body: '' };
    default: {
      const report = Object.hasOwn(options.reports ?? {}, path) ? options.reports?.[path] : undefined;
      if (report) return { status: 200, body: report(new URLSearchParams(query)), type: 'application/json' };
      return { status: 404, body: 'not found\n' };
    }
  }
}

function readiness({ ready }: ProbeOptions): Answer {
  const missing = Object.entries(ready).filter(([, holds]) => !holds());
  if (missing.length === 0) return { status: 200, body: 'ok\n' };
  return { status: 503, body: missing.map(([name]) => `not ready: ${name}\n`).join('') };
}
