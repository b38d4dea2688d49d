import type { ConnectionOptions } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import { second } from '../domain/duration.ts';

/** How to connect to the API server, and how both sides authenticate. */
export interface Route {
  readonly tls: Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized'>;
  /** URL of an HTTP, HTTPS or SOCKS 5 proxy. */
  readonly proxy?: string | undefined;
}

/** Watches have a pool of their own: each holds a connection, and must not use up those of the requests. */
type Pools = Readonly<Record<'requests' | 'watches', Dispatcher>>;

/** Persistent connections to the API server (client-node opens one per request); another CA or certificate replaces them. */
export class ApiConnections {
  #route: Route | undefined;
  #pools: Pools | undefined;

  for(route: Route): Pools {
    if (this.#pools && isDeepStrictEqual(route, this.#route)) return this.#pools;
    void this.close();
    this.#route = route;
    this.#pools = { requests: createPool(route, 32), watches: createPool(route, null) };
    return this.#pools;
  }

  /** Resolves when the requests in progress have ended. */
  async close(): Promise<void> {
    const pools = this.#pools;
    this.#pools = undefined;
    await Promise.all([pools?.requests.close(), pools?.watches.close()]);
  }
}

/** @param connections the most at a time; `null`: no limit */
function createPool({ tls, proxy }: Route, connections: number | null): Dispatcher {
  const options = {
    connections,
    // with HTTP/2, all watches and requests would share one connection, and be lost together
    allowH2: false,
    // the transport has deadlines, and a watch may be quiet
    headersTimeout: 0,
    bodyTimeout: 0,
    // shorter than the 90 s after which kube-apiserver closes an idle connection
    keepAliveTimeout: 60 * second,
  };
  if (proxy !== undefined) return new ProxyAgent({ ...options, uri: proxy, requestTls: tls });
  // load balancers drop connections that are idle for a minute
  return new Agent({ ...options, connect: { ...tls, keepAlive: true, keepAliveInitialDelay: 30 * second } });
}
