import { createServer as createHttpServer } from 'node:http';
import type { RequestListener, Server, ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';

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

export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** The public server, with TLS where a certificate is given; it does not listen yet. */
export function createPublicServer(listener: RequestListener, certificate?: Certificate): Server {
  const server = certificate
    ? createHttpsServer({ ...limits, ...certificate, minVersion: 'TLSv1.2', handshakeTimeout: 5000 }, listener)
    : createHttpServer(limits, listener);
  server.maxRequestsPerSocket = 1000;
  server.maxHeadersCount = 50;
  server.maxConnections = 2000;
  server.timeout = 30_000;
  return server;
}
