import { KubeConfig } from '@kubernetes/client-node';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface ReceivedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly connection: Socket;
}

/** An HTTP server for faults that a real API server does not produce; `answer` sends them. */
export class FakeApiServer {
  readonly requests: ReceivedRequest[] = [];
  /** All accepted connections. */
  readonly connections: Socket[] = [];
  answer: (request: ReceivedRequest, response: ServerResponse) => void = (_request, response) => response.end();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((incoming, response) => {
      void this.#serve(incoming, response);
    });
    this.#server.keepAliveTimeout = 60_000;
    this.#server.on('connection', (connection) => void this.connections.push(connection));
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await receive(incoming);
    this.requests.push(request);
    this.answer(request, response);
  }

  static async start(): Promise<FakeApiServer> {
    const server = new FakeApiServer();
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('The server does not listen');
    return `http://127.0.0.1:${address.port}`;
  }

  /** A kubeconfig for this server. */
  kubeConfig(user: { token?: string } = {}, caData?: string): KubeConfig {
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      { name: 'fake', server: this.url, skipTLSVerify: true, ...(caData === undefined ? {} : { caData }) },
      { name: 'user', ...user },
    );
    return config;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

export function answerJson(response: ServerResponse, status: number, body: object, headers: object = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

async function receive(incoming: IncomingMessage): Promise<ReceivedRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
  const { method = '', url = '', headers, socket: connection } = incoming;
  return { method, url, headers, body: Buffer.concat(chunks).toString('utf8'), connection };
}
