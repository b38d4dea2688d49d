import { delimiter } from 'node:path';
import { apiGroup, ltiKeys, ltiRegistrations, registrationLabel } from '../api/names.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import { type Duration, parseDuration } from '../domain/duration.ts';
import { KubeClient } from '../kube/client.ts';
import { ifExists, isConflict } from '../kube/errors.ts';
import { version } from '../version.ts';
import { servedVersions } from './discovery.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

/** The options that kubectl has, too, under kubectl's names. */
export interface ClusterOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly as?: string;
}

/** A connection to one cluster, and the namespace that the command works in. */
export interface Cluster {
  readonly client: KubeClient;
  readonly namespace: string;
}

/**
 * Runs `work` with a connection, which is closed whatever happens. Refuses a cluster whose CRDs are of another version, unless
 * `anyVersion` is set.
 */
export async function withCluster<R>(
  options: ClusterOptions,
  { environment, clock }: Terminal,
  work: (cluster: Cluster) => Promise<R>,
  { anyVersion = false }: { readonly anyVersion?: boolean } = {},
): Promise<R> {
  const files = (options.kubeconfig ?? environment['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean);
  const client = KubeClient.load({
    kubeconfig: files,
    context: options.context,
    impersonate: options.as,
    clock,
    userAgent: `kubectl-lti/${version}`,
  });
  try {
    const problem = anyVersion ? undefined : await versionProblem(client);
    if (problem !== undefined) throw new CliError(problem);
    return await work({ client, namespace: options.namespace ?? client.namespace });
  } finally {
    await client.close();
  }
}

/** Why this release cannot work with the CRDs of the cluster, and what to do. */
export async function versionProblem(client: KubeClient): Promise<string | undefined> {
  const served = await servedVersions(client, apiGroup);
  if (served.includes(ltiRegistrations.version)) return undefined;
  return served.length === 0
    ? `the cluster has no resources of ${apiGroup}: install the operator's CRDs first, or choose another cluster with --context`
    : `the cluster serves ${apiGroup}/${served.join(', ')}, and this kubectl-lti needs ${ltiRegistrations.version}: use the kubectl-lti of the operator's release`;
}

export function findRegistration({ client, namespace }: Cluster, name: string): Promise<LtiRegistration | undefined> {
  return ifExists(client.get<LtiRegistration>(ltiRegistrations, namespace, name));
}

/** As findRegistration; it throws if there is none. */
export async function getRegistration(cluster: Cluster, name: string): Promise<LtiRegistration> {
  const found = await findRegistration(cluster, name);
  if (found) return found;
  throw new CliError(
    `there is no LtiRegistration ${name} in namespace ${cluster.namespace}: choose the namespace with -n, or list all with: kubectl lti status -A`,
  );
}

/** The LtiKeys of a registration, in the order of their revisions. */
export async function keysOf({ client, namespace }: Cluster, registration: string): Promise<readonly LtiKey[]> {
  const labelSelector = `${registrationLabel}=${registration}`;
  const { items } = await client.list<LtiKey>(ltiKeys, { namespace, labelSelector });
  return items.toSorted((a, b) => a.spec.revision - b.spec.revision);
}

/** The duration that an option has, in the notation of the API. */
export function durationOption(option: string, text: string): Duration {
  try {
    return parseDuration(text);
  } catch (error) {
    throw new CliError(`${option}: ${error instanceof Error ? error.message : 'not a duration'}`, exitCodes.usage);
  }
}

const writeAttempts = 5;

/** Reads the registration, changes it and writes it back over the version that was read; again if another write came between. */
export async function changeRegistration(
  cluster: Cluster,
  name: string,
  change: (registration: LtiRegistration) => LtiRegistration | undefined,
): Promise<LtiRegistration> {
  for (let attempt = 1; ; attempt += 1) {
    const before = await getRegistration(cluster, name);
    const after = change(before);
    if (!after) return before;
    try {
      return await cluster.client.replace<LtiRegistration>(ltiRegistrations, after);
    } catch (error) {
      if (!isConflict(error) || attempt === writeAttempts) throw error;
    }
  }
}
