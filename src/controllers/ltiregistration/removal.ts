import { ledgerSecretName, ltiKeyName, ltiKeys, ltiRegistrations, secrets } from '../../api/names.ts';
import type { LtiKey, LtiRegistration } from '../../api/objects.ts';
import type { KekProvider } from '../../crypto/keyring.ts';
import { staleSeals } from '../../domain/key-plan.ts';
import type { Ledger, LedgerKey } from '../../domain/ledger.ts';
import { withRevocation } from '../../domain/revocation.ts';
import type { Fault } from '../../domain/situation.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Collection } from '../../kube/collection.ts';
import { isObjectNotFound } from '../../kube/errors.ts';
import { type ObjectKey, splitKey } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import { openKeys, resealKeys, sealedUnder, sealingState } from '../custody.ts';
import { isOurs } from '../delivery-secret.ts';
import type { LedgerUsage } from '../kek-usage.ts';
import { getSecret, type LedgerRecord, readLedger, replaceLedger } from '../ledger-secret.ts';
import type { KeyWriter } from '../ltikey/apply.ts';

export interface RemovalOptions {
  readonly client: KubeClient;
  readonly keys: Pick<Collection<LtiKey>, 'byIndex'>;
  readonly writer: KeyWriter;
  readonly keks: KekProvider;
  readonly usage?: LedgerUsage;
  readonly clock: Clock;
  /** `spec.deletionPolicy` of the registration as it last was, where this process saw it go. */
  readonly lastPolicy: (key: ObjectKey) => 'Retain' | 'Delete' | undefined;
  /** Has an LtiKey looked at of which the ledger says something else than it shows. */
  readonly enqueueKey: (key: ObjectKey) => void;
}

/**
 * What is left of a registration that is gone. Under `Retain` all of it stays, published included; under `Delete` the
 * operator removes what it made, in an order that leaves no private key behind wherever it is interrupted: delivery
 * Secrets, then the ledger, then the LtiKeys, which were marked before. The policy is the recorded one; a registration
 * that was changed to `Retain` just before it went is retained all the same.
 */
export async function settleRemoved(options: RemovalOptions, key: ObjectKey): Promise<void> {
  const { client, keys, usage, writer, lastPolicy } = options;
  const { namespace, name } = splitKey(key);
  const faces = keys.byIndex('registration', key);
  const reading = await readLedger(client, namespace, name);
  if (reading.kind !== 'present') usage?.unreadable(key);
  if (reading.kind === 'absent' && faces.length === 0) return usage?.forget(key);
  // The cache may be behind, and a missing resource type is no word about the object.
  if (await isPresent(client, namespace, name)) return;
  if (reading.kind === 'faulty')
    return markAll(writer, faces, 'KeyMaterialAvailable', { status: 'False', ...reading.fault });
  if (reading.kind === 'absent') return void (await finishRemoval(options, faces));
  const { record } = reading;
  if (record.ledger.deletionPolicy === 'Retain') return retain(options, record);
  if (lastPolicy(key) === 'Retain') {
    const { ledger } = record;
    const retained: Ledger = { ...ledger, serial: ledger.serial + 1, deletionPolicy: 'Retain' };
    return retain(options, await replaceLedger(client, record, retained));
  }
  await removeAll(options, record);
}

/** Removes the LtiKeys that a removal left behind when it was interrupted after the ledger was gone; whether there were any. */
export async function finishRemoval(
  { writer }: Pick<RemovalOptions, 'writer'>,
  faces: readonly LtiKey[],
): Promise<boolean> {
  const left = faces
    .map((face) => writer.newest(face))
    .filter(({ status }) => status?.conditions?.some(({ reason }) => reason === 'DeletionUnderWay'));
  for (const face of left) await writer.remove(face);
  return left.length > 0;
}

/** The live LtiKeys: of those that an earlier leader just made the cache may not know yet. */
async function removeAll({ client, writer }: RemovalOptions, record: LedgerRecord): Promise<void> {
  const { namespace, registration } = record.ledger;
  const fieldSelector = `spec.registrationRef.name=${registration}`;
  const { items: faces } = await client.list<LtiKey>(ltiKeys, { namespace, fieldSelector });
  const message = `registration ${registration} was deleted under deletionPolicy Delete`;
  await markAll(writer, faces, 'Orphaned', { status: 'True', reason: 'DeletionUnderWay', message });
  await removeSecrets(client, record);
  for (const face of faces) await writer.remove(writer.newest(face));
}

/** The keys stay as the ledger has them, follow the key-encryption key, and a revocation that was under way is finished. */
async function retain(options: RemovalOptions, found: LedgerRecord): Promise<void> {
  const { client, keks, usage, clock, writer, enqueueKey } = options;
  const { namespace, registration } = found.ledger;
  const revoked = withRevocation(found.ledger, clock.now().getTime());
  const record = revoked ? await replaceLedger(client, found, revoked) : found;
  await removeRevokedDeliveries(client, record);

  // By the ledger: of those that were just put back the cache may not know yet, and foreign ones are not its keys.
  const nameOf = ({ revision }: LedgerKey): ObjectKey => `${namespace}/${ltiKeyName(registration, revision)}`;
  const kept = record.ledger.keys.flatMap((row) => writer.find(nameOf(row)) ?? []);
  const message = `registration ${registration} was deleted under deletionPolicy Retain; the key stays as it is until the registration returns`;
  await markAll(writer, kept, 'Orphaned', { status: 'True', reason: 'RegistrationDeleted', message });

  const { custody } = await openKeys(record, keks);
  const keyIDs = staleSeals({ ledger: record.ledger, custody, ...(await sealingState(keks)) });
  const sealed = keyIDs.length > 0 ? await resealKeys(client, record, keyIDs, keks) : record;
  usage?.read(`${namespace}/${registration}`, sealedUnder(sealed));
  for (const row of record.ledger.keys) {
    const shown = writer.find(nameOf(row))?.status?.state;
    if (keyIDs.includes(row.keyID) || (shown !== undefined && shown !== row.state)) enqueueKey(nameOf(row));
  }
}

/** Delivery Secrets go whose key no longer signs for anybody: it was revoked, and there is none to take its place. */
async function removeRevokedDeliveries(client: KubeClient, { ledger }: LedgerRecord): Promise<void> {
  if (ledger.activeKeyID !== undefined || !ledger.keys.some(({ state }) => state === 'Revoked')) return;
  await removeDeliveries(client, ledger);
}

export async function markAll(
  writer: KeyWriter,
  faces: readonly LtiKey[],
  type: 'Orphaned' | 'KeyMaterialAvailable',
  verdict: Fault & { readonly status: 'True' | 'False' },
): Promise<void> {
  const { status, reason, message } = verdict;
  for (const face of faces) await writer.mark(writer.newest(face), { [type]: { status, reason, message } });
}

async function removeDeliveries(client: KubeClient, ledger: Ledger): Promise<void> {
  for (const name of ledger.deliverySecretNames) {
    const delivered = await getSecret(client, ledger.namespace, name);
    if (delivered && isOurs(delivered, ledger.registration)) await client.delete(secrets, delivered);
  }
}

async function removeSecrets(client: KubeClient, { ledger, secret }: LedgerRecord): Promise<void> {
  await removeDeliveries(client, ledger);
  if (secret.metadata.name === ledgerSecretName(ledger.registration)) await client.delete(secrets, secret);
}

async function isPresent(client: KubeClient, namespace: string, name: string): Promise<boolean> {
  try {
    await client.get<LtiRegistration>(ltiRegistrations, namespace, name);
    return true;
  } catch (error) {
    if (isObjectNotFound(error)) return false;
    throw error;
  }
}
