import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer as createHttpServer, IncomingMessage } from 'node:http';
import type { RequestListener, Server, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { Socket } from 'node:net';
import type { ServerCertificate } from './certificate.ts';
import { type ClientConnections, sliceBytes } from './client-connections.ts';

/** Connections that are busy this long after the server stopped accepting are closed. */
const closingMs = 5000;

export interface ServerContext {
  /** Seconds that a connection may be idle between two requests. */
  readonly keepAlive: number;
  readonly connections: ClientConnections;
  /** Called once for every answer. */
  readonly metrics: { request(code: number): void };
}

/**
 * Limits for clients that hold connections without sending requests. Without the short checking interval Node checks for late
 * headers only every 30 s. The requests of a connection are not limited, because Node answers 503 beyond such a limit.
 */
function limits(keepAlive: number): ServerOptions {
  return {
    headersTimeout: 5000,
    requestTimeout: 10_000,
    connectionsCheckingInterval: 1000,
    keepAliveTimeout: keepAlive * 1000,
    maxHeaderSize: 16_384,
    // The application does that, because Node would answer without counting the answer.
    requireHostHeader: false,
    highWaterMark: sliceBytes,
  };
}

/** The public server, with TLS if there is a certificate. It does not listen yet. */
export function createPublicServer(
  listener: RequestListener,
  { keepAlive, connections, metrics }: ServerContext,
  certificate?: ServerCertificate,
): Server {
  const options = { ...limits(keepAlive), IncomingMessage: countedRequests(connections) };
  const server = certificate ? createSecureServer(options, listener, certificate) : createHttpServer(options, listener);
  server.timeout = 30_000;
  // More than a CDN, a mesh and tracing add. Node refuses more with 431.
  server.maxHeadersCount = 200;
  server.on('connection', (socket) => connections.opened(socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    // Before a handshake, or after the client disconnected, no answer is possible.
    if (!(socket instanceof Socket) || !socket.writable || !/^(?:HPE|ERR_HTTP)_/.test(error.code ?? ''))
      socket.destroy();
    // In the middle of another answer, the client would read a refusal as a part of it.
    else if (connections.isAnswering(socket)) socket.destroySoon();
    else metrics.request(refuse(error, socket));
  });
  const finished = (message: unknown): void => {
    const { server: of, response } = message as { server: unknown; response: ServerResponse };
    if (of !== server) return;
    connections.answered(response.req);
    metrics.request(response.statusCode);
  };
  server.prependListener('request', (request: IncomingMessage) => (request.url = pathOf(request.url)));
  server.on('checkExpectation', (_request, response) => connections.send(response.writeHead(417)));
  subscribe('http.server.response.finish', finished);
  const sweeping = setInterval(() => connections.sweep(), 1000).unref();
  server.on('close', () => {
    unsubscribe('http.server.response.finish', finished);
    clearInterval(sweeping);
  });
  return server;
}

/**
 * A workaround: Node 24 parses everything that it has read from a connection, up to 64 KiB or 3,600 requests, even if the connection
 * is closed meanwhile, and keeps these requests until all other connections were read. 100 clients exhausted the heap in this way
 * (2026-11-28). Its parser stops early only at an upgrade. Nothing here handles upgrades, so Node then destroys the socket.
 */
function countedRequests(connections: ClientConnections): typeof IncomingMessage {
  return class extends IncomingMessage {
    private asked = false;
    private readonly isRefused = !connections.requested(this);

    get upgrade(): boolean {
      return this.asked || this.isRefused;
    }

    set upgrade(asked: boolean) {
      this.asked = asked;
    }
  };
}

/** A client that does not begin the handshake is disconnected as early as one that sends no headers. */
function createSecureServer(options: ServerOptions, listener: RequestListener, certificate: ServerCertificate): Server {
  const minVersion = 'TLSv1.2';
  const secure = { ...options, ...certificate.current, minVersion, handshakeTimeout: 5000 } as const;
  const server = createHttpsServer(secure, listener);
  certificate.onRenewed((renewed) => server.setSecureContext({ ...renewed, minVersion }));
  return server;
}

/** No document has a longer path. The memory of an unfinished answer includes no more. */
const longestPath = 1024;

/** The path of a request target: Express cannot route every absolute form (RFC 9112 §3.2), and would answer it by itself. */
function pathOf(target = ''): string {
  const path = target.replace(/^https?:\/\/[^/?#]*/i, '');
  return path.startsWith('/') && path.length <= longestPath ? path : '/';
}

const refusals: Readonly<Record<string, readonly [code: number, phrase: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
};

/** Answers what is not HTTP, as Node does by default, and closes the connection. Returns the status code. */
function refuse({ code: cause = '' }: NodeJS.ErrnoException, socket: Socket): number {
  const [code, phrase] = refusals[cause] ?? [400, 'Bad Request'];
  socket.write(`HTTP/1.1 ${code} ${phrase}\r\nConnection: close\r\n\r\n`);
  socket.destroySoon();
  return code;
}

/** Waits for unfinished answers, then closes every connection. */
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
