import { ltiKeys } from '../../api/names.ts';
import type { LtiKey, LtiRegistration } from '../../api/objects.ts';
import type { Duration } from '../../domain/duration.ts';
import { ledgerEvidence } from '../../domain/ltikeys.ts';
import type { LedgerReading } from '../../domain/situation.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Informer } from '../../kube/informer.ts';
import { objectKey, type ObjectKey, splitKey } from '../../kube/objects.ts';
import { isUnreadableOrGivenUp } from '../failed-requests.ts';
import type { DeliveryReading } from './delivery-secret.ts';
import { type LedgerSecretReading, readLedger } from './ledger-secret.ts';
import type { LedgerCache } from './ledger-cache.ts';

/** The ledger of a registration, or if there is none, whether there was one. */

export interface LedgerSources {
  readonly client: KubeClient;
  readonly keys: Pick<Informer<LtiKey>, 'scopeOf'>;
  readonly ledgers: LedgerCache;
  /** How long passes of the registration have failed. */
  readonly failingFor: Duration;
}

/** The ledger that this process just wrote or found missing; else that of the API server. */
export async function newestLedger(
  { client, keys, ledgers, failingFor }: LedgerSources,
  key: ObjectKey,
  cached: LtiRegistration | undefined,
  cachedKeys: readonly LtiKey[],
): Promise<LedgerSecretReading> {
  const { namespace, name } = splitKey(key);
  const written = ledgers.get(key);
  const shownSerials = [cached, ...cachedKeys].map((object) => object?.status?.ledgerSerial ?? 0);
  if (written && shownSerials.every((serial) => serial <= written.ledger.serial)) {
    return { kind: 'present', record: written };
  }
  // Another leader that creates a ledger also creates LtiKeys, and their events delete the entry, while the watch is connected.
  const seen = keys.scopeOf(namespace)?.connected() === true;
  if (ledgers.isMissing(key) && cachedKeys.length === 0 && seen) return { kind: 'absent' };
  ledgers.delete(key);
  return readLedger(client, namespace, name, failingFor);
}

/**
 * Adds the trace of a ledger that was lost, if any. Lists the LtiKeys from the API server, because a cache is not enough evidence
 * to generate a first key. The result stays in `ledgers` until something changes.
 */
export async function withTrace(
  { client, ledgers, failingFor }: LedgerSources,
  reading: Exclude<LedgerReading, { kind: 'present' }>,
  cachedKeys: readonly LtiKey[],
  object: LtiRegistration | undefined,
  deliveries: ReadonlyMap<string, DeliveryReading>,
): Promise<LedgerReading> {
  if (reading.kind !== 'absent' || !object) return reading;
  const { namespace = '', name } = object.metadata;
  const lost = (trace: string): LedgerReading => ({ kind: 'absent', trace });
  if (object.status?.activeKey || (object.status?.ledgerSerial ?? 0) > 0) return lost('its status names them');
  const known = ledgerEvidence(cachedKeys);
  if (known) return lost(`LtiKey ${known.metadata.name} exists`);
  // A restore may bring back the delivery Secret before the ledger.
  const [delivered] = [...deliveries].find(([, { state }]) => state.kind === 'ours') ?? [];
  if (delivered !== undefined) return lost(`delivery Secret ${delivered} exists`);
  for (const { state } of deliveries.values()) {
    if (state.kind !== 'unreadable') continue;
    const message = `there is no ledger, and the operator cannot tell whether the registration has keys: ${state.fault.message}`;
    return { kind: 'faulty', fault: { reason: 'LedgerUnreadable', message } };
  }
  if (ledgers.isMissing(objectKey(object))) return reading;
  try {
    const fieldSelector = `spec.registrationRef.name=${name}`;
    const { items } = await client.list<LtiKey>(ltiKeys, { namespace, fieldSelector });
    const live = ledgerEvidence(items);
    if (live) return lost(`LtiKey ${live.metadata.name} exists`);
  } catch (error) {
    if (!isUnreadableOrGivenUp(error, failingFor)) throw error;
    const message = `the operator cannot list the LtiKeys of namespace ${namespace}, so it cannot tell whether the registration has keys: ${error.message}`;
    return { kind: 'faulty', fault: { reason: 'LedgerUnreadable', message } };
  }
  ledgers.setMissing(objectKey(object));
  return reading;
}
