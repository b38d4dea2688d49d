import { isDeepStrictEqual } from 'node:util';
import { isFinal } from './key-state.ts';
import type { Policy } from './key-policies.ts';
import { type Delivery, recordSettings } from './ledger.ts';
import { shortCachePeriod } from './timing.ts';

/** What the ledger records of the registration itself, and how long it keeps the records of final keys. */

/** Ledgers of an earlier release have no issuer, and neither do those of registrations whose issuer was set later. */
export const recordIssuer: Policy = ({ registration: { issuer }, ledger }) =>
  ledger.issuer === undefined && issuer !== undefined ? recordSettings({ ...ledger, issuer }) : undefined;

/**
 * A delivery Secret is recorded before it is written and removed from the record after it is deleted, so that none is left
 * behind. The one before the configured one stays on record, because a controller that fell behind may still create it.
 */
export const recordDelivery: Policy = ({ registration, ledger, delivery, now }) => {
  const wanted = registration.deliverySecretName;
  const recorded = new Set(ledger.deliveries.map(({ secretName }) => secretName));
  const unrecorded = delivery.leftovers.filter((name) => !recorded.has(name)).map((secretName) => ({ secretName }));
  const others: readonly Delivery[] = [...unrecorded, ...ledger.deliveries].filter(
    ({ secretName }) => secretName !== wanted,
  );
  const kept = others
    .filter((other) => other === others.at(-1) || delivery.leftovers.includes(other.secretName))
    .map(({ secretName, leftAt = now }): Delivery => ({ secretName, leftAt }));
  const deliveries = [...kept, ...(wanted === undefined ? [] : [{ secretName: wanted }])];
  return isDeepStrictEqual(deliveries, ledger.deliveries) ? undefined : recordSettings({ ...ledger, deliveries });
};

export const recordDeletionPolicy: Policy = ({ registration: { deletionPolicy }, ledger }) =>
  ledger.deletionPolicy === deletionPolicy ? undefined : recordSettings({ ...ledger, deletionPolicy });

/**
 * Removes final records beyond the limit, oldest first. A revoked key stays on record while it shortens the cache lifetime of
 * its documents, and while the registration lists it, so that its ID is not reported as unknown.
 */
export const pruneHistory: Policy = ({ registration, ledger, now }) => {
  const final = ledger.keys.filter((key) => isFinal(key.state));
  const surplus = final
    .slice(0, Math.max(0, final.length - registration.keyHistoryLimit))
    .filter(({ keyID, revokedAt }) => {
      if (revokedAt === undefined) return true;
      return revokedAt + shortCachePeriod <= now && !registration.revokedKeyIDs.has(keyID);
    });
  if (surplus.length === 0) return undefined;
  const keys = ledger.keys.filter((key) => !surplus.includes(key));
  return { ledger: { ...ledger, keys }, transitions: [{ reason: 'HistoryPruned' }] };
};
