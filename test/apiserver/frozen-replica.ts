import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * Whoever serves the documents besides the operator's own sidecar: another replica, or a CDN before the public URL. It passes
 * on what the sidecar serves, and once it is frozen goes on with what it passed on last.
 */
export class FrozenReplica {
  readonly url: string;
  readonly #server: Server;
  readonly #own: string;
  readonly #kept = new Map<string, { readonly body: string; readonly headers: Record<string, string> }>();
  readonly #maxAge: number;
  #frozen = false;

  private constructor(server: Server, own: string, maxAge: number) {
    const { port } = server.address() as AddressInfo;
    this.url = `http://127.0.0.1:${port}`;
    this.#server = server;
    this.#own = own;
    this.#maxAge = maxAge;
  }

  /** `maxAge`: the seconds for which those that ask may keep what they get. */
  static async before(own: string, maxAge = 300): Promise<FrozenReplica> {
    const server = createServer((request, response) => void replica.#serve(request.url ?? '/', response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const replica = new FrozenReplica(server, own, maxAge);
    return replica;
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(path: string, response: ServerResponse): Promise<void> {
    const { status, body, headers } = await this.#answer(path);
    response.writeHead(status, headers).end(body);
  }

  async #answer(path: string): Promise<{ status: number; body: string; headers: Record<string, string> }> {
    const kept = this.#kept.get(path);
    if (this.#frozen) return kept ? { status: 200, ...kept } : { status: 404, body: '', headers: {} };
    const response = await fetch(this.#own + path);
    const body = await response.text();
    const headers = { 'content-type': 'application/json', 'cache-control': `public, max-age=${this.#maxAge}` };
    if (response.status === 200) this.#kept.set(path, { body, headers });
    else this.#kept.delete(path);
    return { status: response.status, body, headers };
  }
}
