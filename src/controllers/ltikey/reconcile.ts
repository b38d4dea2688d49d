import { ltiKeyName } from '../../api/names.ts';
import type { LtiKey } from '../../api/objects.ts';
import { isFinal } from '../../domain/key-state.ts';
import { keyObject } from '../../domain/projection.ts';
import type { KekProvider } from '../../crypto/keyring.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Result } from '../../kube/controller.ts';
import { type ObjectKey, splitKey } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import { openKey } from '../custody.ts';
import { registrationOf } from '../watch.ts';
import { type LedgerRecord, readLedger } from '../ledger-secret.ts';
import type { KeyWriter } from './apply.ts';

export interface KeyReconcilerOptions {
  readonly client: KubeClient;
  readonly writer: KeyWriter;
  readonly keks: KekProvider;
  readonly clock: Clock;
  /** Has the registration looked at, for what a key alone cannot tell. */
  readonly enqueueRegistration: (key: ObjectKey) => void;
}

/** Keeps the public face true: a deleted or edited LtiKey is put back from the ledger, one in no ledger is disowned. */
export function keyReconciler(options: KeyReconcilerOptions): (key: ObjectKey) => Promise<Result> {
  const { client, writer, keks, clock, enqueueRegistration } = options;

  async function disown(existing: LtiKey, record: LedgerRecord): Promise<void> {
    const { spec, status } = existing;
    const { serial, highestRevision } = record.ledger;
    // An older ledger was restored over the one that knows this key: the registration says so, and nothing is taken away.
    if ((status?.ledgerSerial ?? 0) > serial) return enqueueRegistration(registrationOf(existing));
    // The history of the ledger is limited; a record that it dropped, perhaps as it retired, takes its LtiKey along.
    const ended = status?.state === 'Retiring' || (status?.state && isFinal(status.state));
    if (spec.revision <= highestRevision && ended) return writer.remove(existing);
    const message = `the ledger of registration ${spec.registrationRef.name} does not know this key; nobody publishes it; docs/recovery.md tells how to delete it`;
    await writer.mark(existing, { Foreign: { status: 'True', reason: 'NotInLedger', message } }, true);
  }

  return async function reconcile(key) {
    const existing = writer.find(key);
    const { namespace, name } = splitKey(key);
    const registration = existing?.spec.registrationRef.name ?? name.replace(/-\d+$/, '');
    const reading = await readLedger(client, namespace, registration);
    if (reading.kind !== 'present') {
      // A removal that was interrupted ends here; a lost or damaged ledger is the registration's affair.
      const removing = existing?.status?.conditions?.some(({ reason }) => reason === 'DeletionUnderWay');
      if (existing && removing && reading.kind === 'absent') await writer.remove(existing);
      enqueueRegistration(`${namespace}/${registration}`);
      return {};
    }
    const { record } = reading;
    const row = record.ledger.keys.find(({ revision }) => name === ltiKeyName(registration, revision));
    if (row) {
      const custody = isFinal(row.state) || row.verifyOnly ? undefined : (await openKey(record, row, keks)).custody;
      const desired = keyObject(record.ledger, row, custody, existing?.status, clock.now().getTime());
      // Whether it is an orphan is the registration's to say.
      await writer.show(desired, ['Orphaned']);
      const orphaned = existing?.status?.conditions?.some(({ type }) => type === 'Orphaned');
      if (!existing || orphaned) enqueueRegistration(`${namespace}/${registration}`);
    } else if (existing) {
      await disown(existing, record);
    }
    return {};
  };
}
