import { existsSync } from 'node:fs';
import type { Agent } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import type { Route } from './api-connections.ts';
import { TransportError } from './errors.ts';

export interface Access {
  /** Base URL of the API server, without a slash at the end. */
  readonly server: string;
  /** `Authorization` and impersonation. */
  readonly headers: Readonly<Record<string, string>>;
  readonly route: Route;
}

/** As kubectl's options `--context` and `--as`. */
export interface Choice {
  readonly context?: string | undefined;
  /** The user in whose name requests are sent. */
  readonly impersonate?: string | undefined;
}

/** The address of the API server and the credentials for it, from a kubeconfig or in-cluster files as client-node reads them. */
export class Credentials {
  readonly #load: () => KubeConfig;
  #kubeConfig: KubeConfig;

  /** @param load reads the configuration without any cache */
  constructor(load: () => KubeConfig) {
    this.#load = load;
    this.#kubeConfig = load();
  }

  /** The namespace of the current context, or of the Pod. */
  get namespace(): string {
    const context = this.#kubeConfig.getContextObject(this.#kubeConfig.getCurrentContext());
    return context?.namespace?.trim() || 'default';
  }

  /** Reloads token, CA and certificate files if due, and runs the exec plugin if its credential has expired. */
  async access(): Promise<Access> {
    const cluster = this.#kubeConfig.getCurrentCluster();
    if (cluster === null) throw new TransportError('Credentials', 'The kubeconfig has no current cluster');
    const options: Route['tls'] & { headers?: Record<string, string>; auth?: string; agent?: Agent } = {};
    try {
      await this.#kubeConfig.applyToHTTPSOptions(options);
    } catch (error) {
      throw new TransportError('Credentials', `Cannot read the credentials for the API server: ${whatFailed(error)}`);
    }
    // the agent is for node:https, and opens no connection unless used
    const { auth, agent: _unused, headers: given = {}, ...tls } = options;
    // Not `new Headers`: its errors quote the value, which may be a token.
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(given)) headers[name.toLowerCase()] = value.trim();
    if (auth !== undefined) headers['authorization'] = `Basic ${Buffer.from(auth).toString('base64')}`;
    return {
      server: cluster.server.replace(/\/+$/, ''),
      headers,
      route: { tls, proxy: cluster.proxyUrl },
    };
  }

  /** Reads the configuration again, without cached credentials. */
  reload(): void {
    try {
      this.#kubeConfig = this.#load();
    } catch (error) {
      throw new TransportError('Credentials', `Cannot reload the kubeconfig: ${whatFailed(error)}`);
    }
  }
}

/**
 * Reads and merges `files` as kubectl does for `KUBECONFIG`: the first file with an entry of a name wins, and missing files are
 * ignored unless all are missing. Without files, reads `~/.kube/config`, or else the service account of the Pod.
 */
export function loadKubeConfig(files: readonly string[] = [], choice: Choice = {}): KubeConfig {
  const config = new KubeConfig();
  const existing = files.filter((file) => existsSync(file));
  // if all are missing, reading the first one throws the error to show
  if (files.length > 0) merge(config, existing.length > 0 ? existing : files.slice(0, 1));
  else reading('', () => config.loadFromDefault());
  choose(config, choice);
  const cluster = config.getCurrentCluster();
  // localhost:8080 is client-node's last resort
  if (cluster === null || (files.length === 0 && cluster.server === 'http://localhost:8080')) {
    throw new Error(
      files.length === 0
        ? 'No Kubernetes configuration found: set --kubeconfig or KUBECONFIG, or run in a Pod with a service account'
        : `The current context of the kubeconfig ${files.join(':')} has no cluster: set one with kubectl config use-context`,
    );
  }
  if (cluster.server.startsWith('http:') && !cluster.skipTLSVerify) {
    throw new Error(
      `The kubeconfig has the server ${cluster.server}, without TLS: use https, or in a test set insecure-skip-tls-verify`,
    );
  }
  return config;
}

function choose(config: KubeConfig, { context, impersonate }: Choice): void {
  if (context !== undefined) {
    if (config.getContextObject(context) === null) {
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

/** Relative paths are relative to the file that contains them. */
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
    // neither message nor cause of the YAML parser, because they quote the file
    const reason = isSystemError(error) ? error.message : 'it is not a YAML file of clusters, users and contexts';
    // oxlint-disable-next-line preserve-caught-error
    throw new Error(`Cannot read the kubeconfig${which}: ${reason}`);
  }
}

/** Only the message of a failed file read, because others (with the output of an exec plugin) may quote a credential. */
function whatFailed(error: unknown): string {
  return isSystemError(error) ? error.message : 'the credential plugin failed; run it manually to see the cause';
}

function isSystemError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error;
}
