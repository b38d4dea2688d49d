import { createHash } from 'node:crypto';

import { Agent, ProxyAgent } from 'undici';
import type { Dispatcher } from 'undici';

/** How the API server is reached and how both sides prove who they are. */
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

export interface ConnectionPair {
  readonly requests: Dispatcher;
  /** Apart, because every watch holds a connection for minutes and must not use up those of the requests. */
  readonly watches: Dispatcher;
}

const shared = {
  // HTTP/2 would put all watches and requests on one connection, lost together
  allowH2: false,
  headersTimeout: 30_000,
  // below the 90 s after which kube-apiserver closes an idle connection
  keepAliveTimeout: 60_000,
} as const;
const ofRequests = { ...shared, connections: 32, bodyTimeout: 30_000 } as const;
const ofWatches = { ...shared, bodyTimeout: 0 } as const;

/**
 * The connections to the API server, kept open and shared by all calls: client-node itself makes a TLS connection per
 * call. They are replaced when the CA or the client certificate is, and the old ones close as they fall idle.
 */
export class Connections {
  #key = '';
  #route: Route | undefined;
  #current: ConnectionPair | undefined;

  for(route: Route): ConnectionPair {
    if (this.#current !== undefined && route === this.#route) return this.#current;
    const key = fingerprint(route);
    this.#route = route;
    if (this.#current !== undefined && key === this.#key) return this.#current;
    void this.close();
    this.#key = key;
    this.#current = { requests: dispatcher(route, ofRequests), watches: dispatcher(route, ofWatches) };
    return this.#current;
  }

  /** Resolves when what was under way has ended. */
  async close(): Promise<void> {
    const closing = this.#current;
    this.#current = undefined;
    await Promise.all([closing?.requests.close(), closing?.watches.close()]);
  }
}

function dispatcher({ tls, proxy }: Route, limits: Agent.Options): Dispatcher {
  if (proxy !== undefined) return new ProxyAgent({ ...limits, uri: proxy, requestTls: tls });
  // half a minute, as load balancers drop what is quiet for a whole one
  return new Agent({ ...limits, connect: { ...tls, keepAlive: true, keepAliveInitialDelay: 30_000 } });
}

function fingerprint({ tls, proxy }: Route): string {
  const hash = createHash('sha256').update(proxy ?? '');
  for (const [name, value] of Object.entries(tls)) {
    hash.update(`\0${name}\0`).update(Buffer.isBuffer(value) ? value : String(value));
  }
  return hash.digest('base64');
}
