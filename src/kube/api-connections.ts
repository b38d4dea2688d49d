import { isDeepStrictEqual } from 'node:util';

import { Agent, type Dispatcher, ProxyAgent } from 'undici';

import { type Duration, second } from '../domain/duration.ts';

/** How to connect to the API server, and how both sides authenticate. */
export interface Route {
  readonly tls: {
    readonly ca?: string | Buffer;
    readonly cert?: string | Buffer;
    readonly key?: string | Buffer;
    readonly servername?: string;
    readonly rejectUnauthorized?: boolean;
  };
  /** URL of an HTTP, HTTPS or SOCKS 5 proxy. */
  readonly proxy?: string;
}

/** Watches have a pool of their own: each holds a connection, and must not use up those of the requests. */
type Pools = Readonly<Record<'requests' | 'watches', Dispatcher>>;

const shared = {
  // with HTTP/2, all watches and requests would share one connection, and be lost together
  allowH2: false,
  headersTimeout: 30 * second,
  // shorter than the 90 s after which kube-apiserver closes an idle connection
  keepAliveTimeout: 60 * second,
};
/** Load balancers drop connections that are idle for a minute. */
const keepAliveInitialDelay: Duration = 30 * second;

/** Persistent connections to the API server (client-node opens one per request); another CA or certificate replaces them. */
export class ApiConnections {
  #route: Route | undefined;
  #current: Pools | undefined;

  for(route: Route): Pools {
    if (this.#current !== undefined && isDeepStrictEqual(route, this.#route)) return this.#current;
    void this.close();
    this.#route = route;
    this.#current = {
      requests: dispatcher(route, { ...shared, connections: 32, bodyTimeout: 30 * second }),
      watches: dispatcher(route, { ...shared, bodyTimeout: 0 }),
    };
    return this.#current;
  }

  /** Resolves when the requests in progress have ended. */
  async close(): Promise<void> {
    const closing = this.#current;
    this.#current = undefined;
    await Promise.all([closing?.requests.close(), closing?.watches.close()]);
  }
}

function dispatcher({ tls, proxy }: Route, limits: Agent.Options): Dispatcher {
  if (proxy !== undefined) return new ProxyAgent({ ...limits, uri: proxy, requestTls: tls });
  return new Agent({ ...limits, connect: { ...tls, keepAlive: true, keepAliveInitialDelay } });
}
