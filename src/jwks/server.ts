import { createServer as createHttpServer } from 'node:http';
import type { RequestListener, Server, ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Server as HttpsServer } from 'node:https';
import type { Certificate } from './certificate.ts';

/**
 * Limits against clients that hold connections without asking for anything. Without the short checking interval Node
 * looks for late headers every 30 s only.
 */
const limits: ServerOptions = {
  headersTimeout: 5000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1000,
  // Longer than the 60 s of common load balancers, which must be the ones to close.
  keepAliveTimeout: 65_000,
  maxHeaderSize: 8192,
  requireHostHeader: true,
};

/** The public server; it does not listen yet. */
export function createPublicServer(listener: RequestListener): Server {
  return limited(createHttpServer(limits, listener));
}

/** The same with TLS. A client that says nothing is cut off as early as one that sends no headers. */
export function createSecureServer(listener: RequestListener, certificate: Certificate): HttpsServer {
  const secured = { ...limits, ...certificate, minVersion: 'TLSv1.2', handshakeTimeout: 5000 } as const;
  return limited(createHttpsServer(secured, listener));
}

function limited<S extends Server | HttpsServer>(server: S): S {
  server.maxRequestsPerSocket = 1000;
  server.maxHeadersCount = 50;
  server.maxConnections = 2000;
  server.timeout = 30_000;
  // Who keeps connections open and asks for nothing must not lock others out.
  server.on('drop', () => server.closeIdleConnections());
  return server;
}
