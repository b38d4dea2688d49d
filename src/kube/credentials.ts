import { existsSync } from 'node:fs';
import type { Agent } from 'node:https';

import { KubeConfig } from '@kubernetes/client-node';

import type { Route } from './connections.ts';
import { TransportError } from './errors.ts';

export interface Access {
  /** Base URL of the API server, without a slash at the end. */
  readonly server: string;
  /** `Authorization` and impersonation. */
  readonly headers: Readonly<Record<string, string>>;
  readonly route: Route;
}

/** What kubectl's options `--context` and `--as` choose. */
export interface Choice {
  readonly context?: string | undefined;
  /** The user that requests are made as. */
  readonly impersonate?: string | undefined;
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
    if (cluster === null) throw new TransportError('Credentials', 'The kubeconfig has no current cluster');
    const options: Route['tls'] & { headers?: Record<string, string>; auth?: string; agent?: Agent } = {};
    try {
      await this.#kubeConfig.applyToHTTPSOptions(options);
    } catch (error) {
      throw new TransportError('Credentials', `Cannot read the credentials for the API server: ${whatFailed(error)}`);
    }
    // its agent is for node:https, and makes no connection unless it is used
    const { auth, agent: _unused, headers: given = {}, ...tls } = options;
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(given)) headers[name.toLowerCase()] = value.trim();
    if (auth !== undefined) headers['authorization'] = `Basic ${Buffer.from(auth).toString('base64')}`;
    return {
      server: cluster.server.replace(/\/+$/, ''),
      headers,
      route: { tls, ...(cluster.proxyUrl === undefined ? {} : { proxy: cluster.proxyUrl }) },
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
 * Reads `files` and merges them as kubectl does with those of `KUBECONFIG`: the first one that has an entry decides it, and
 * those that do not exist are left out as long as one does. Without files, `~/.kube/config`, else the service account of the Pod.
 */
export function loadKubeConfig(files: readonly string[] = [], choice: Choice = {}): KubeConfig {
  const config = new KubeConfig();
  const existing = files.filter((file) => existsSync(file));
  // the first one is read all the same, and says what is wrong with it
  if (files.length > 0) merge(config, existing.length > 0 ? existing : files.slice(0, 1));
  else reading('', () => config.loadFromDefault());
  choose(config, choice);
  const cluster = config.getCurrentCluster();
  // client-node's last resort, which it would itself refuse to talk to
  if (cluster === null || (files.length === 0 && cluster.server === 'http://localhost:8080')) {
    throw new Error(
      files.length === 0
        ? 'No Kubernetes configuration found: give --kubeconfig, set KUBECONFIG, or run in a Pod with a service account'
        : `The kubeconfig ${files.join(':')} names no cluster in its current context`,
    );
  }
  if (cluster.server.startsWith('http:') && !cluster.skipTLSVerify) {
    throw new Error(
      `The kubeconfig names ${cluster.server}, without TLS: use https, or for a test set insecure-skip-tls-verify`,
    );
  }
  return config;
}

function choose(config: KubeConfig, { context, impersonate }: Choice): void {
  if (context !== undefined) {
    if (!config.contexts.some(({ name }) => name === context)) {
      const known = config.contexts.map(({ name }) => name).join(', ');
      throw new Error(`The kubeconfig has no context ${JSON.stringify(context)}; it has: ${known || 'none'}`);
    }
    config.setCurrentContext(context);
  }
  const user = config.getCurrentUser();
  if (impersonate !== undefined && user) {
    const others = config.users.filter(({ name }) => name !== user.name);
    config.users = [...others, { ...user, impersonateUser: impersonate }];
  }
}

/** Relative paths are of the file in which they are. */
function merge(config: KubeConfig, files: readonly string[]): void {
  const parts = files.map((file) => {
    const part = new KubeConfig();
    reading(` ${file}`, () => part.loadFromFile(file));
    return part;
  });
  config.loadFromOptions({
    clusters: firstOfEachName(parts.flatMap(({ clusters }) => clusters)),
    users: firstOfEachName(parts.flatMap(({ users }) => users)),
    contexts: firstOfEachName(parts.flatMap(({ contexts }) => contexts)),
    currentContext: parts.map(({ currentContext }) => currentContext).find(Boolean),
  });
}

function firstOfEachName<T extends { readonly name: string }>(entries: readonly T[]): T[] {
  return [...new Map(entries.toReversed().map((entry) => [entry.name, entry])).values()];
}

function reading(which: string, read: () => void): void {
  try {
    read();
  } catch (error) {
    // neither message nor cause of a YAML parser: they quote lines of the file
    const reason = isSystemError(error) ? error.message : 'it is not a YAML file of clusters, users and contexts';
    // oxlint-disable-next-line preserve-caught-error
    throw new Error(`Cannot read the kubeconfig${which}: ${reason}`);
  }
}

/** Names the file of a failed read; anything else (the output of an exec plugin, say) may quote a credential. */
function whatFailed(error: unknown): string {
  return isSystemError(error) ? error.message : 'the credential plugin failed; run it by hand to see why';
}

function isSystemError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error;
}
