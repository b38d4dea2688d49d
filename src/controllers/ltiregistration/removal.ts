import { ledgerSecretName, ltiKeyName, ltiRegistrations, secrets } from '../../api/names.ts';
import type { LtiKey, LtiRegistration } from '../../api/objects.ts';
import type { KekProvider } from '../../crypto/keyring.ts';
import { staleSeals } from '../../domain/key-plan.ts';
import type { Fault } from '../../domain/situation.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Collection } from '../../kube/collection.ts';
import { isObjectNotFound } from '../../kube/errors.ts';
import { type ObjectKey, splitKey } from '../../kube/objects.ts';
import { openKeys, resealKeys, sealingState } from '../custody.ts';
import { isOurs } from '../delivery-secret.ts';
import { getSecret, type LedgerRecord, readLedger } from '../ledger-secret.ts';
import type { KeyWriter } from '../ltikey/apply.ts';

export interface RemovalOptions {
  readonly client: KubeClient;
  readonly keys: Pick<Collection<LtiKey>, 'byIndex'>;
  readonly writer: KeyWriter;
  readonly keks: KekProvider;
  /** Has an LtiKey looked at of which the ledger says something new. */
  readonly enqueueKey: (key: ObjectKey) => void;
}

/**
 * What is left of a registration that is gone. Under `Retain`, the recorded policy, all of it stays, published included,
 * and follows the key-encryption key, so that a former one may be removed;
 * under `Delete` the operator removes what it made, in an order that leaves no private key behind wherever it is
 * interrupted: delivery Secrets, then the ledger, then the LtiKeys, which were marked before.
 */
export async function settleRemoved(options: RemovalOptions, key: ObjectKey): Promise<void> {
  const { client, keys, writer } = options;
  const { namespace, name } = splitKey(key);
  const faces = keys.byIndex('registration', key);
  const reading = await readLedger(client, namespace, name);
  if (reading.kind === 'absent' && faces.length === 0) return;
  // The cache may be behind, and a missing resource type is no word about the object.
  if (await isPresent(client, namespace, name)) return;
  if (reading.kind === 'faulty')
    return markAll(writer, faces, 'KeyMaterialAvailable', { status: 'False', ...reading.fault });
  if (reading.kind === 'absent') return; // Each LtiKey tells by itself whether it was being removed.
  const { record } = reading;
  if (record.ledger.deletionPolicy === 'Retain') {
    const message = `registration ${name} was deleted under deletionPolicy Retain; the key stays as it is until the registration returns`;
    // By the ledger: of those that were just put back the cache may not know yet, and foreign ones are not its keys.
    const kept = record.ledger.keys.flatMap(
      ({ revision }) => writer.find(`${namespace}/${ltiKeyName(name, revision)}`) ?? [],
    );
    await markAll(writer, kept, 'Orphaned', { status: 'True', reason: 'RegistrationDeleted', message });
    return resealKept(options, record);
  }
  const message = `registration ${name} was deleted under deletionPolicy Delete`;
  await markAll(writer, faces, 'Orphaned', { status: 'True', reason: 'DeletionUnderWay', message });
  await removeSecrets(client, record);
  for (const face of keys.byIndex('registration', key))
    await writer.remove(writer.find(`${namespace}/${face.metadata.name}`) ?? face);
}

async function resealKept({ client, keks, enqueueKey }: RemovalOptions, record: LedgerRecord): Promise<void> {
  const { ledger } = record;
  const { custody, privateKeys } = await openKeys(record, keks);
  const keyIDs = staleSeals({ ledger, custody, ...(await sealingState(keks)) });
  if (keyIDs.length === 0) return;
  await resealKeys(client, record, { keyIDs, privateKeys }, keks);
  for (const { revision } of ledger.keys)
    enqueueKey(`${ledger.namespace}/${ltiKeyName(ledger.registration, revision)}`);
}

export async function markAll(
  writer: KeyWriter,
  faces: readonly LtiKey[],
  type: 'Orphaned' | 'KeyMaterialAvailable',
  verdict: Fault & { readonly status: 'True' | 'False' },
): Promise<void> {
  const { status, reason, message } = verdict;
  for (const face of faces) {
    const current = writer.find(`${face.metadata.namespace}/${face.metadata.name}`) ?? face;
    await writer.mark(current, { [type]: { status, reason, message } });
  }
}

async function removeSecrets(client: KubeClient, { ledger, secret }: LedgerRecord): Promise<void> {
  for (const name of ledger.deliverySecretNames) {
    const delivered = await getSecret(client, ledger.namespace, name);
    if (delivered && isOurs(delivered, ledger.registration)) await client.delete(secrets, delivered);
  }
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
