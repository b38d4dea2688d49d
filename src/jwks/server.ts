import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { Socket } from 'node:net';
import { parseAddress } from '../lib/address.ts';
import type { ServerCertificate } from './certificate.ts';
import { type Connections, sliceBytes } from './connections.ts';

/** Connections that are busy this long after the server stopped accepting are cut. */
const closingMs = 5000;

export interface ServerContext {
  /** Seconds that a connection may be idle between two requests. */
  readonly keepAlive: number;
  readonly connections: Connections;
  /** Told of every answer, once. */
  readonly metrics: { request(code: number): void };
}

/**
 * Limits against clients that hold connections without asking for anything. Without the short checking interval Node
 * looks for late headers every 30 s only. Nothing limits the requests of a connection: Node answers those beyond it 503.
 */
function limits(keepAlive: number): ServerOptions {
  return {
    headersTimeout: 5000,
    requestTimeout: 10_000,
    connectionsCheckingInterval: 1000,
    keepAliveTimeout: keepAlive * 1000,
    maxHeaderSize: 16_384,
    requireHostHeader: true,
    highWaterMark: sliceBytes,
  };
}

/** The public server, with TLS if there is a certificate. It does not listen yet. */
export function createPublicServer(
  listener: RequestListener,
  { keepAlive, connections, metrics }: ServerContext,
  certificate?: ServerCertificate,
): Server {
  const server = certificate
    ? createSecureServer(limits(keepAlive), listener, certificate)
    : createHttpServer(limits(keepAlive), listener);
  server.timeout = 30_000;
  // The header lines are limited in bytes: behind a CDN, a mesh and tracing there are many.
  server.maxHeadersCount = 0;
  server.on('connection', (socket) => connections.opened(socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Nothing can be said before a handshake, or to who has gone.
    if (!(socket instanceof Socket) || !socket.writable || !/^(?:HPE|ERR_HTTP)_/.test(error.code ?? ''))
      socket.destroy();
    // In the middle of another answer the client would take it for a part of that.
    else if (connections.isAnswering(socket)) socket.destroySoon();
    else metrics.request(refuse(error, socket));
  });
  const finished = (message: unknown): void => {
    const { server: of, response } = message as { server: unknown; response: ServerResponse };
    if (of === server) metrics.request(response.statusCode);
  };
  server.prependListener('request', (request: IncomingMessage) => (request.url = pathOf(request.url)));
  subscribe('http.server.response.finish', finished);
  const sweeping = setInterval(() => connections.sweep(), 1000).unref();
  server.on('close', () => {
    unsubscribe('http.server.response.finish', finished);
    clearInterval(sweeping);
  });
  return server;
}

/** A client that does not begin the handshake is closed as early as one that sends no headers. */
function createSecureServer(options: ServerOptions, listener: RequestListener, certificate: ServerCertificate): Server {
  const minVersion = 'TLSv1.2';
  const secure = { ...options, ...certificate.current, minVersion, handshakeTimeout: 5000 } as const;
  const server = createHttpsServer(secure, listener);
  certificate.onRenewed((renewed) => server.setSecureContext({ ...renewed, minVersion }));
  return server;
}

/** A request target in origin form: Express cannot route every absolute one (RFC 9112 §3.2), and gives it an answer of its own. */
function pathOf(target = ''): string {
  const path = target.replace(/^https?:\/\/[^/?#]*/i, '');
  return path.startsWith('/') ? path : '/';
}

const refusals: Readonly<Record<string, readonly [code: number, phrase: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
};

/** Answers what is not HTTP, as Node does by itself, and hangs up. Gives the code. */
function refuse({ code: cause = '' }: NodeJS.ErrnoException, socket: Socket): number {
  const [code, phrase] = refusals[cause] ?? [400, 'Bad Request'];
  socket.write(`HTTP/1.1 ${code} ${phrase}\r\nConnection: close\r\n\r\n`);
  socket.destroySoon();
  return code;
}

/** Resolves to the `host:port` that is bound; rejects with the reason and the address. */
export async function listen(server: Server, address: string): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new Error(`cannot serve JWKS on ${address}: ${error.code ?? error.name}`)),
    );
    server.listen(parseAddress(address), resolve);
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') return address;
  return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
}

/** Lets running answers end, then closes every connection. */
export function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    const cut = setTimeout(() => server.closeAllConnections(), closingMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}
