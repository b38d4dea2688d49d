import { Router } from 'express';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { acceptsGzip } from './accept-encoding.ts';
import { commonHeaders, notModifiedHeaders, okHeaders } from './prepared-document.ts';
import type { PreparedDocument, RawHeaders } from './prepared-document.ts';
import type { DocumentSource } from './source.ts';

const allowedMethods = 'GET, HEAD, OPTIONS';
/** Seconds; long enough not to be hammered, short enough not to prolong an outage. */
const retryAfter = '5';

/** Told of every answer, once. */
export interface RequestMetrics {
  request(code: number): void;
}

export interface AppOptions {
  readonly source: DocumentSource;
  readonly metrics: RequestMetrics;
  /** While true, every answer ends its connection, so that clients move to another replica. */
  readonly draining: () => boolean;
}

/**
 * Answers for the public port. GET and HEAD of a known path are answered from prepared buffers before Express sees
 * them; Express gets what is left. No byte of a request appears in an answer.
 */
export function createApp({ source, metrics, draining }: AppOptions): RequestListener {
  const rest = createRouter(source, metrics);
  return (request, response) => {
    if (draining()) response.shouldKeepAlive = false;
    const document = source.documents.get(request.url ?? '');
    if (document === undefined || !source.synced() || !isRead(request.method)) rest(request, response);
    else answerDocument(document, request, response, metrics);
  };
}

function createRouter(source: DocumentSource, metrics: RequestMetrics): RequestListener {
  // Not an application, which gives every request and response another prototype: after that V8 serves all others slower.
  const router = Router();
  router.use((request, response, next) => {
    if (isRead(request.method)) return next();
    if (request.method === 'OPTIONS') return answerPreflight(response, metrics);
    answer(response, metrics, 405, ['Allow', allowedMethods, 'Cache-Control', 'no-store'], 'method not allowed');
  });
  router.use((request, response, next) => {
    if (!source.synced()) return answerUnavailable(response, metrics);
    const path = pathOf(request.url);
    const document = source.documents.get(path);
    if (document === undefined) return source.unread(path) ? answerUnavailable(response, metrics) : next();
    answerDocument(document, request, response, metrics);
  });
  return (request, response) => {
    // A router of Express asks for requests and responses that an application has been at, and needs none of it.
    const last = (error: unknown): void => {
      if (error === undefined) answer(response, metrics, 404, ['Cache-Control', 'no-store'], 'not found');
      else answer(response, metrics, 500, ['Cache-Control', 'no-store'], 'internal error');
    };
    Reflect.apply(router, undefined, [request, response, last]);
  };
}

function isRead(method: string | undefined): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** The path of a request target in origin or absolute form (RFC 9112 §3.2), as it was sent: nothing is decoded. */
function pathOf(target: string): string {
  const [beforeQuery = ''] = target.split(/[?#]/, 1);
  return beforeQuery.replace(/^https?:\/\/[^/]*/i, '');
}

function answerDocument(
  document: PreparedDocument,
  request: IncomingMessage,
  response: ServerResponse,
  metrics: RequestMetrics,
): void {
  const { gzip } = document;
  const form = gzip !== undefined && acceptsGzip(headerOf(request, 'accept-encoding')) ? gzip : document;
  const { body } = form;
  if (body === undefined) return answerUnavailable(response, metrics);
  const condition = headerOf(request, 'if-none-match');
  if (condition !== undefined && matches(condition, form.etag)) {
    metrics.request(304);
    response.writeHead(304, notModifiedHeaders(form)).end();
    return;
  }
  metrics.request(200);
  response.writeHead(200, okHeaders(form, body));
  // Node leaves the body out of an answer to HEAD.
  response.end(body, 'latin1');
}

/**
 * As in `request.headers`, which would first read all of them into an object. `name` in lower case; the values of lines
 * of the same name make a list (RFC 9110 §5.2).
 */
function headerOf({ rawHeaders }: IncomingMessage, name: string): string | undefined {
  let found: string | undefined;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [candidate = '', value = ''] = [rawHeaders[at], rawHeaders[at + 1]];
    if (candidate.length !== name.length || candidate.toLowerCase() !== name) continue;
    found = found === undefined ? value : `${found}, ${value}`;
  }
  return found;
}

/** RFC 9110 §13.1.2: a list of entity tags, compared weakly, or `*`. */
function matches(ifNoneMatch: string, etag: string): boolean {
  // What caches send: the one tag they have.
  if (ifNoneMatch === etag) return true;
  return ifNoneMatch.trim() === '*' || (ifNoneMatch.match(/"[^"]*"/g)?.includes(etag) ?? false);
}

function answerUnavailable(response: ServerResponse, metrics: RequestMetrics): void {
  const headers = ['Retry-After', retryAfter, 'Cache-Control', 'no-store'];
  answer(response, metrics, 503, headers, 'no keys to serve yet');
}

function answerPreflight(response: ServerResponse, metrics: RequestMetrics): void {
  metrics.request(204);
  const methods = ['Access-Control-Allow-Methods', 'GET, HEAD', 'Access-Control-Allow-Headers', '*'];
  response.writeHead(204, [...commonHeaders, ...methods, 'Access-Control-Max-Age', '86400', 'Allow', allowedMethods]);
  response.end();
}

function answer(
  response: ServerResponse,
  metrics: RequestMetrics,
  code: number,
  headers: RawHeaders,
  text: string,
): void {
  metrics.request(code);
  const body = `${text}\n`;
  const described = ['Content-Type', 'text/plain; charset=utf-8', 'Content-Length', String(body.length)];
  response.writeHead(code, [...commonHeaders, ...described, ...headers]);
  response.end(body);
}
