import { createHash } from 'node:crypto';

import type { DispatcherOptions } from '@kubernetes/client-node/dist/config.js';
import { Agent, ProxyAgent } from 'undici';
import type { Dispatcher } from 'undici';

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
  #current: ConnectionPair | undefined;

  for(options: DispatcherOptions): ConnectionPair {
    const key = fingerprint(options);
    if (this.#current !== undefined && key === this.#key) return this.#current;
    void this.close();
    this.#key = key;
    this.#current = { requests: dispatcher(options, ofRequests), watches: dispatcher(options, ofWatches) };
    return this.#current;
  }

  /** Resolves when what was under way has ended. */
  async close(): Promise<void> {
    const closing = this.#current;
    this.#current = undefined;
    await Promise.all([closing?.requests.close(), closing?.watches.close()]);
  }
}

function dispatcher(options: DispatcherOptions, limits: Agent.Options): Dispatcher {
  if (options.type === 'none') return new Agent(limits);
  if (options.type === 'agent') return new Agent({ ...limits, connect: options.connect });
  return new ProxyAgent({ ...limits, uri: options.uri, requestTls: options.requestTls });
}

function fingerprint(options: DispatcherOptions): string {
  const hash = createHash('sha256');
  const feed = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) {
      hash.update(Buffer.isBuffer(value) ? value : String(value)).update('\0');
      return;
    }
    for (const [name, member] of Object.entries(value)) {
      hash.update(`${name}\0`);
      feed(member);
    }
  };
  feed(options);
  return hash.digest('base64');
}
