import express from 'express';
import type { PublicJwk } from '../domain/public-jwk.ts';
import { createApp } from '../jwks/app.ts';
import { ClientConnections } from '../jwks/client-connections.ts';
import { createServedDocument } from '../jwks/served-document.ts';
import { close, createPublicServer } from '../jwks/server.ts';
import type { ServedDocument } from '../jwks/source.ts';
import { formatAddress, listen } from '../lib/address.ts';
import type { Clock } from '../lib/clock.ts';
import type { TokenEndpoint } from './token-endpoint.ts';

export const tokenPath = '/token';

const connectionLimits = { connections: 100, unfinishedBytes: 16 * 1024 * 1024 };

export interface DevelopmentServerOptions {
  /** 0: any that is free. */
  readonly port: number;
  /** Seconds that clients may cache a document. */
  readonly maxAge: number;
  readonly clock: Clock;
  /** Called with the path of each document that is fetched. */
  readonly fetched: (path: string) => void;
}

export interface DevelopmentServer {
  /** Such as `http://127.0.0.1:8480`. */
  readonly origin: string;
  /** Serves these keys at this path from now on. */
  publish(path: string, keys: readonly PublicJwk[]): void;
  /** Answers token requests from now on. */
  serveTokens(endpoint: Pick<TokenEndpoint, 'answer'>): void;
  close(): Promise<void>;
}

/** The application of the JWKS sidecar on loopback, and a token endpoint. Rejects if the port is taken. */
export async function startDevelopmentServer(options: DevelopmentServerOptions): Promise<DevelopmentServer> {
  const { port, maxAge, clock, fetched } = options;
  const documents = new Map<string, ServedDocument>();
  const source = { documents, synced: () => true, unread: () => false };
  const connections = new ClientConnections(clock, connectionLimits);
  let tokens: Pick<TokenEndpoint, 'answer'> | undefined;
  const app = express().disable('x-powered-by');
  app.post(tokenPath, express.urlencoded({ extended: false }), async (request, response, next) => {
    if (!tokens) return next();
    const { status, body } = await tokens.answer((request.body ?? {}) as Record<string, unknown>);
    response.status(status).set('Cache-Control', 'no-store').json(body);
  });
  app.use(createApp({ source, maxAge, clock, connections, fetched, draining: () => false }));
  const server = createPublicServer(app, { keepAlive: 5, connections, metrics: { request: () => undefined } });
  const bound = await listen(server, `127.0.0.1:${port}`, 'JWKS');
  return {
    origin: `http://${formatAddress(bound)}`,
    publish: (path, keys) => {
      const document = createServedDocument(Buffer.from(JSON.stringify({ keys })));
      if (document) documents.set(path, document);
      else documents.delete(path);
    },
    serveTokens: (endpoint) => (tokens = endpoint),
    close: () => close(server),
  };
}
