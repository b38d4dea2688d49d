import type { AgentOptions, RequestOptions } from 'node:https';

import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { DispatcherOptions } from '@kubernetes/client-node/dist/config.js';

import { TransportError } from './errors.ts';

export interface Access {
  /** Base URL of the API server, without a slash at the end. */
  readonly server: string;
  /** `Authorization` and impersonation. */
  readonly headers: Readonly<Record<string, string>>;
  /** How to connect: TLS material, or a proxy. */
  readonly dispatcher: DispatcherOptions;
}

/** Where the API server is and how to authenticate: kubeconfig and in-cluster files, as client-node reads them. */
export class Credentials {
  readonly #load: () => KubeConfig;
  #kubeConfig: KubeConfig;

  /** @param load reads the configuration afresh, caches of tokens and exec plugins included. */
  constructor(load: () => KubeConfig) {
    this.#load = load;
    this.#kubeConfig = load();
  }

  /** Namespace of the current context, or of the Pod. */
  get namespace(): string {
    const { contexts, currentContext } = this.#kubeConfig;
    return contexts.find(({ name }) => name === currentContext)?.namespace?.trim() || 'default';
  }

  /** Reads token, CA and certificate files again where they are due; runs an exec plugin whose credential expired. */
  async access(): Promise<Access> {
    const cluster = this.#kubeConfig.getCurrentCluster();
    if (cluster === null)
      throw new TransportError('Credentials', 'The kubeconfig has no cluster in its current context');
    const options: RequestOptions & AgentOptions = {};
    try {
      await this.#kubeConfig.applyToHTTPSOptions(options);
    } catch (error) {
      throw new TransportError('Credentials', `Cannot read the credentials for the API server: ${whatFailed(error)}`);
    }
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {}))
      headers[name.toLowerCase()] = String(value).trim();
    if (typeof options.auth === 'string') {
      headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
    }
    return {
      server: cluster.server.replace(/\/+$/, ''),
      headers,
      dispatcher: this.#kubeConfig.createDispatcherOptions(cluster, options),
    };
  }

  /** Forgets every cached credential. */
  reload(): void {
    try {
      this.#kubeConfig = this.#load();
    } catch (error) {
      throw new TransportError('Credentials', `Cannot read the configuration again: ${whatFailed(error)}`);
    }
  }
}

/**
 * Reads `path`; without one, what kubectl would read (`KUBECONFIG`, `~/.kube/config`), else the service account of the
 * Pod.
 */
export function loadKubeConfig(path?: string): KubeConfig {
  const config = new KubeConfig();
  if (path === undefined) config.loadFromDefault();
  else config.loadFromFile(path);
  const cluster = config.getCurrentCluster();
  // client-node's last resort, which it would itself refuse to talk to
  if (cluster === null || (path === undefined && cluster.server === 'http://localhost:8080')) {
    throw new Error(
      'No Kubernetes configuration found: give --kubeconfig, set KUBECONFIG, or run in a Pod with a service account',
    );
  }
  if (cluster.server.startsWith('http:') && !cluster.skipTLSVerify) {
    throw new Error(
      `The kubeconfig names a server without TLS, ${cluster.server}: use https, or set insecure-skip-tls-verify for a test`,
    );
  }
  return config;
}

/** Names the file of a failed read; anything else (an exec plugin's output, say) may quote a credential. */
function whatFailed(error: unknown): string {
  if (error instanceof Error && 'code' in error && 'syscall' in error) return error.message;
  return 'the credential plugin failed; run it by hand to see why';
}
