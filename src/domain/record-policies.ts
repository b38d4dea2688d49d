import { isFinal } from './key-state.ts';
import type { Policy } from './key-policies.ts';
import type { Delivery } from './ledger.ts';
import { shortCachePeriod } from './timing.ts';
import { recordSettings } from './transition.ts';

/** What the ledger remembers of the registration itself, and how long it remembers keys that are gone. */

/** Ledgers of an earlier release do not say for whom their keys were made. */
export const recordIssuer: Policy = ({ registration: { issuer }, ledger }) =>
  ledger.issuer === undefined ? recordSettings({ ...ledger, issuer }, 'issuer') : undefined;

/**
 * A delivery Secret is recorded before it is written and forgotten after it is gone, so that none is left behind. The last
 * one before the wanted one stays on record: a controller that fell behind may still be about to create it.
 */
export const recordDelivery: Policy = ({ registration, ledger, delivery, now }) => {
  const wanted = registration.deliverySecretName;
  const others = ledger.deliveries.filter(({ secretName }) => secretName !== wanted);
  const kept = others
    .filter((other) => other === others.at(-1) || delivery.leftovers.includes(other.secretName))
    .map(({ secretName, leftAt = now }): Delivery => ({ secretName, leftAt }));
  const deliveries = [...kept, ...(wanted === undefined ? [] : [{ secretName: wanted }])];
  const same =
    deliveries.length === ledger.deliveries.length &&
    deliveries.every(({ secretName, leftAt }, index) => {
      const before = ledger.deliveries[index];
      return before?.secretName === secretName && before.leftAt === leftAt;
    });
  return same ? undefined : recordSettings({ ...ledger, deliveries }, 'delivery Secret');
};

export const recordDeletionPolicy: Policy = ({ registration: { deletionPolicy }, ledger }) =>
  ledger.deletionPolicy === deletionPolicy
    ? undefined
    : recordSettings({ ...ledger, deletionPolicy }, 'deletion policy');

/**
 * Final records beyond the limit go, oldest first. A revoked one stays while it shortens its documents' cache lifetime and
 * while the registration lists it, so that an ID that names no key can be told from one that was revoked long ago.
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
  return {
    ledger: { ...ledger, keys: ledger.keys.filter((key) => !surplus.includes(key)) },
    transition: {
      reason: 'HistoryPruned',
      message: `key records beyond spec.keyHistoryLimit (${registration.keyHistoryLimit}) were removed`,
    },
  };
};
