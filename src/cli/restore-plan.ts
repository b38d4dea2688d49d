import { isDeepStrictEqual } from 'node:util';
import { leases, ltiRegistrations, operatorName, secrets } from '../api/names.ts';
import { minute } from '../domain/duration.ts';
import type { KubeClient } from '../kube/client.ts';
import { ifExists, isRefusal } from '../kube/errors.ts';
import type { Lease } from '../kube/lease.ts';
import { type KubeObject, objectKey, type ResourceType, type Secret } from '../kube/objects.ts';
import type { Clock } from '../lib/clock.ts';
import { type Backup, registrationOfLedger } from './backup-file.ts';
import { findDeployment } from './deployment.ts';

/** The steps that `restore` would take, computed from reads alone. */
export interface RestorePlan {
  /** In the order in which they are created. */
  readonly creations: readonly { readonly type: ResourceType; readonly object: KubeObject }[];
  /** How many objects exist with the same content. */
  readonly identical: number;
  /** What exists with other content and is left as it is. */
  readonly left: readonly string[];
  /** Why nothing may be restored. */
  readonly obstacles: readonly string[];
}

const namespaces = { group: '', version: 'v1', kind: 'Namespace', plural: 'namespaces' };

export async function planRestore(client: KubeClient, backup: Backup): Promise<RestorePlan> {
  const creations: { type: ResourceType; object: KubeObject }[] = [];
  const left: string[] = [];
  const obstacles = await missingNamespaces(client, backup);
  let identical = 0;
  const compare = async (type: ResourceType, object: KubeObject, contents: readonly string[]): Promise<boolean> => {
    const present = await find(client, type, object);
    if (!present) creations.push({ type, object });
    else if (isDeepStrictEqual(pick(present, contents), pick(object, contents))) identical += 1;
    else return false;
    return true;
  };
  for (const canaries of backup.canaries) {
    if (!(await compare(secrets, canaries, ['type', 'data']))) {
      left.push(`Secret ${objectKey(canaries)} (canaries): it exists with other content`);
    }
  }
  for (const ledger of backup.ledgers) {
    if (await compare(secrets, ledger, ['type', 'data'])) continue;
    obstacles.push(
      `Secret ${objectKey(ledger)} exists with other content: see "The registrations came first" in docs/guides/backup-and-restore.md`,
    );
  }
  for (const registration of backup.registrations) {
    if (await compare(ltiRegistrations, registration, ['spec'])) continue;
    left.push(`LtiRegistration ${objectKey(registration)}: it exists with another spec`);
  }
  return { creations, identical, left, obstacles };
}

/** Why the operator could interfere with a restore, and what to do; undefined if it does not run. */
export async function runningOperator(
  client: KubeClient,
  namespace: string,
  clock: Clock,
): Promise<string | undefined> {
  try {
    const deployment = await findDeployment(client, namespace);
    if (deployment && (deployment.spec.replicas ?? 1) > 0) {
      const { name } = deployment.metadata;
      return `the operator runs: kubectl scale deployment ${name} -n ${namespace} --replicas=0`;
    }
    const { spec } = (await ifExists(client.get<Lease>(leases, namespace, operatorName))) ?? {};
    const age = clock.now().getTime() - (client.clockSkew() ?? 0) - Date.parse(spec?.renewTime ?? '');
    return spec?.holderIdentity && age < minute
      ? `${spec.holderIdentity} renewed the Lease of the operator less than a minute ago: stop it, and wait a minute`
      : undefined;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return `whether the operator runs is unknown (${error.message}): ask an administrator`;
  }
}

/** Registrations that exist while their ledger does not: a running operator may be about to make keys for them. */
export async function registrationsWithoutLedger(client: KubeClient, { creations }: RestorePlan): Promise<string[]> {
  const ledgers = creations.filter(({ type }) => type === secrets).map(({ object }) => object as Secret);
  const found: string[] = [];
  for (const ledger of ledgers) {
    const metadata = { ...ledger.metadata, name: registrationOfLedger(ledger) };
    if (metadata.name !== ledger.metadata.name && (await find(client, ltiRegistrations, { metadata }))) {
      found.push(objectKey({ metadata }));
    }
  }
  return found;
}

async function missingNamespaces(client: KubeClient, backup: Backup): Promise<string[]> {
  const objects: readonly KubeObject[] = [...backup.canaries, ...backup.ledgers, ...backup.registrations];
  const missing: string[] = [];
  for (const name of new Set(objects.map(({ metadata }) => metadata.namespace ?? ''))) {
    try {
      const found = await ifExists(client.get(namespaces, '', name));
      if (!found) missing.push(`namespace ${name} does not exist: kubectl create namespace ${name}`);
    } catch (error) {
      // Without the right to read namespaces, the API server refuses the first object of a missing one.
      if (!isRefusal(error)) throw error;
    }
  }
  return missing;
}

function find(client: KubeClient, type: ResourceType, { metadata }: KubeObject): Promise<KubeObject | undefined> {
  return ifExists(client.get(type, metadata.namespace ?? '', metadata.name));
}

function pick(object: KubeObject, members: readonly string[]): object {
  const wanted = Object.entries(object).filter(([member]) => members.includes(member));
  return Object.fromEntries(wanted.map(([member, value]): [string, unknown] => [member, value]));
}
