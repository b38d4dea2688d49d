import { open, readFile, rm } from 'node:fs/promises';
import { apiVersion, canarySecretName, ledgerSecretType, ledgerSuffix } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import type { KubeObject, ObjectMeta, Secret } from '../kube/objects.ts';
import { errorCode } from '../lib/error-code.ts';
import { isJsonObject, parseJsonObject } from '../lib/json-object.ts';
import { CliError } from './exit-codes.ts';

/**
 * A backup is a `v1` List in JSON, which `kubectl create` reads as well: the canaries, the ledgers and the registrations, without
 * the fields that are only valid in the cluster that they come from (docs/guides/backup-and-restore.md).
 */
export interface Backup {
  /** The Secret with the canaries; none or one. */
  readonly canaries: readonly Secret[];
  readonly ledgers: readonly Secret[];
  readonly registrations: readonly LtiRegistration[];
}

export const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** The object without status and without what the API server sets. */
export function portable<T extends KubeObject>(object: T): T {
  const { name, namespace, labels, annotations = {} } = object.metadata;
  const { [lastApplied]: _, ...kept } = annotations;
  const metadata: ObjectMeta = {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(labels === undefined ? {} : { labels }),
    ...(Object.keys(kept).length === 0 ? {} : { annotations: kept }),
  };
  const rest = Object.fromEntries(Object.entries(object).filter(([member]) => member !== 'status'));
  return { ...rest, metadata } as unknown as T;
}

/** Creates the file, readable for the user alone. An existing file is refused, and a file that was not completed is removed. */
export async function writeBackup(file: string, { canaries, ledgers, registrations }: Backup): Promise<void> {
  const items = [...canaries, ...ledgers, ...registrations];
  const text = `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, undefined, 2)}\n`;
  const opened = await open(file, 'wx', 0o600).catch((error: unknown) => {
    const code = errorCode(error);
    const what = code === 'EEXIST' ? 'exists already, and is not overwritten' : `cannot be created (${code})`;
    throw new CliError(`${file} ${what}: nothing was written; choose another file`);
  });
  try {
    await opened.writeFile(text);
    await opened.sync();
  } catch (error) {
    await rm(file, { force: true });
    throw new CliError(`${file} cannot be written (${errorCode(error)}): nothing was kept`);
  } finally {
    await opened.close();
  }
}

/** Throws a CliError for anything other than a backup. The messages quote no content. */
export async function readBackup(file: string): Promise<Backup> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new CliError(`${file} cannot be read (${errorCode(error)}): nothing was restored`);
  });
  const refuse = (what: string): never => {
    throw new CliError(`${file} ${what}: nothing was restored; give a file that kubectl lti backup wrote`);
  };
  const items = itemsOf(text) ?? refuse('is not a List in JSON, or was truncated');
  const canaries: Secret[] = [];
  const ledgers: Secret[] = [];
  const registrations: LtiRegistration[] = [];
  for (const [index, item] of items.entries()) {
    const place = `has an item ${index + 1} that`;
    if (!isNamed(item)) return refuse(`${place} has no name and namespace`);
    if (isLedger(item)) ledgers.push(item);
    else if (isRegistration(item)) registrations.push(item as LtiRegistration);
    else if (item.kind === 'Secret' && item.metadata.name === canarySecretName) canaries.push(item);
    else return refuse(`${place} is neither a ledger, a registration nor the Secret of canaries`);
  }
  const names = items.map((item) => JSON.stringify([item.kind, item.metadata.namespace, item.metadata.name]));
  if (new Set(names).size < names.length) return refuse('has an object twice');
  if (canaries.length > 1) return refuse('has the canaries of two operators');
  return { canaries, ledgers, registrations };
}

/** The name of the registration that a ledger Secret belongs to. */
export function registrationOfLedger({ metadata: { name } }: Secret): string {
  return name.endsWith(ledgerSuffix) ? name.slice(0, -ledgerSuffix.length) : name;
}

type Item = KubeObject & { readonly metadata: { readonly namespace: string } };

function itemsOf(text: string): readonly Item[] | undefined {
  const { kind, items } = parseJsonObject(text) ?? {};
  return kind === 'List' && Array.isArray(items) ? (items as Item[]) : undefined;
}

function isNamed(item: unknown): item is Item {
  if (!isJsonObject(item) || !isJsonObject(item['metadata'])) return false;
  const { name, namespace } = item['metadata'];
  return typeof name === 'string' && name !== '' && typeof namespace === 'string' && namespace !== '';
}

function isLedger(item: KubeObject): boolean {
  return item.kind === 'Secret' && 'type' in item && item.type === ledgerSecretType;
}

function isRegistration(item: KubeObject): boolean {
  return item.kind === 'LtiRegistration' && item.apiVersion === apiVersion && 'spec' in item;
}
