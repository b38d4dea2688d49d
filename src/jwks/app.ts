import express from 'express';
import type { ErrorRequestHandler, Express, Request, Response } from 'express';
import { allKeysPath, namespacePath, registrationPath } from '../api/names.ts';
import { cacheControl } from '../documents/cache-control.ts';
import { isOperatorRequest } from '../documents/fetch-report.ts';
import type { Clock } from '../lib/clock.ts';
import type { ClientConnections } from './client-connections.ts';
import type { DocumentSource } from './source.ts';

/** Sent with every answer: key sets are public, and browsers must not guess another content type. */
const common = { 'Access-Control-Allow-Origin': '*', 'X-Content-Type-Options': 'nosniff' };
const allowedMethods = 'GET, HEAD, OPTIONS';
const preflight = {
  ...common,
  'Access-Control-Allow-Methods': 'GET, HEAD',
  'Access-Control-Allow-Headers': '*',
  'Access-Control-Max-Age': '86400',
  Allow: allowedMethods,
};
/** Seconds: long enough to spare the server, short enough not to prolong an outage. */
const retryAfter = '5';
const documentPaths = [allKeysPath, namespacePath(':namespace'), registrationPath(':namespace', ':registration')];

export interface AppOptions {
  readonly source: DocumentSource;
  /** Seconds. */
  readonly maxAge: number;
  readonly clock: Clock;
  readonly connections: Pick<ClientConnections, 'send'>;
  /** Called with the path of each document that a client other than the operator fetches. */
  readonly fetched: (path: string) => void;
  /** While true, every answer closes its connection, so that clients move to another replica. */
  readonly draining: () => boolean;
}

/** The application on the public port. No byte of a request appears in an answer. */
export function createApp({ source, maxAge, clock, connections, fetched, draining }: AppOptions): Express {
  const refuse = refusal(connections);
  const unavailable = (response: Response): void =>
    refuse(response, 503, 'no keys to serve yet\n', { 'Retry-After': retryAfter });
  const app = express();
  // Paths are compared byte by byte, and documents have their own ETags.
  app.enable('case sensitive routing').enable('strict routing').set('query parser', false);
  app.disable('etag').disable('x-powered-by');

  app.use((request, response, next) => {
    if (draining()) response.shouldKeepAlive = false;
    // Otherwise, the body would stay in memory until the previous answers are taken.
    request.resume();
    if (!namesOneHost(request)) return refuse(response, 400, 'bad request\n', { Connection: 'close' });
    if (request.method === 'OPTIONS') return connections.send(response.writeHead(204, preflight));
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return refuse(response, 405, 'method not allowed\n', { Allow: allowedMethods });
    }
    if (!source.synced()) return unavailable(response);
    next();
  });

  app.get(documentPaths, (request, response, next) => {
    const document = source.documents.get(request.path);
    if (document === undefined) return source.unread(request.path) ? unavailable(response) : next();
    if (!isOperatorRequest(request.headers['user-agent'])) fetched(request.path);
    const { body, bytes, etag, revokedUntil } = document;
    const cacheTimes = cacheControl(maxAge, revokedUntil > clock.now().getTime());
    const cached = { ...common, 'Cache-Control': cacheTimes, ETag: etag };
    if (matches(request.headers['if-none-match'], etag)) return connections.send(response.writeHead(304, cached));
    // Canvas's deep-linking code cannot read application/jwk-set+json.
    response.writeHead(200, { ...cached, 'Content-Type': 'application/json', 'Content-Length': bytes });
    connections.send(response, body);
  });

  // Also for a registration without keys: after a 503, caches could serve the revoked key (RFC 5861 §4).
  app.use((_request, response) => refuse(response, 404, 'not found\n'));
  app.use(errorHandler(refuse));
  return app;
}

/** Express throws an error with status 400 for a path that it cannot decode: there is no such document. */
function errorHandler(refuse: Refusal): ErrorRequestHandler {
  return (error: { status?: number }, _request, response, _next) => {
    if (error.status === 400) refuse(response, 404, 'not found\n');
    else refuse(response, 500, 'internal error\n');
  };
}

type Refusal = (response: Response, code: number, text: string, headers?: Readonly<Record<string, string>>) => void;

/** Sends plain text that no cache keeps. */
function refusal(connections: AppOptions['connections']): Refusal {
  return (response, code, text, headers = {}) => {
    const described = { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': text.length };
    response.writeHead(code, { ...common, 'Cache-Control': 'no-store', ...described, ...headers });
    connections.send(response, text);
  };
}

/** RFC 9112 §3.2: anything else must be refused, but HTTP/1.0 has no Host. */
function namesOneHost({ rawHeaders, httpVersion }: Request): boolean {
  const hosts = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'host').length;
  return hosts === 1 || (hosts === 0 && httpVersion === '1.0');
}

/** RFC 9110 §13.1.2: a list of entity tags, compared weakly, or `*`. */
function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch === '*' || (ifNoneMatch.match(/"[^"]*"/g)?.includes(etag) ?? false);
}
