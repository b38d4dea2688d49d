import type { Instant } from './duration.ts';
import { activeKey, changeKey, type Ledger, type LedgerKey, withoutActiveKey } from './ledger.ts';
import type { Lifecycle } from './situation.ts';

/** One step of the lifecycle: what changes in the ledger, and what people and metrics are told of it. */
export interface Transition {
  readonly reason: TransitionReason;
  readonly keyID?: string;
  readonly message: string;
}

export type TransitionReason =
  | 'KeyPublished'
  | 'KeyUnpublished'
  | 'KeyActivated'
  | 'KeyRetiring'
  | 'KeyRetired'
  | 'KeyRevoked'
  | 'NextKeyDiscarded'
  | 'RotationRequested'
  | 'SettingsRecorded'
  | 'HistoryPruned';

export interface Change {
  readonly ledger: Ledger;
  readonly transition: Transition;
  /** What happened to another key in the same step. */
  readonly besides?: Transition;
}

/** Pointer and both states in one write. */
export function activate({ ledger, observation, now }: Lifecycle, key: LedgerKey, why: string): Change {
  const previous = activeKey(ledger);
  const demoted = previous ? changeKey(ledger, previous.keyID, { state: 'Retiring' }) : ledger;
  const promoted = changeKey(demoted, key.keyID, {
    state: 'Active',
    activatedAt: now,
    publishedAt: key.publishedAt ?? (observation.servedKeyIDs.has(key.keyID) ? now : undefined),
    stoppedSigningAt: undefined,
    retireAt: undefined,
  });
  return {
    ledger: { ...promoted, activeKeyID: key.keyID },
    transition: {
      reason: 'KeyActivated',
      keyID: key.keyID,
      message: `key ${key.keyID} is now the signing key: ${why}`,
    },
  };
}

export function revoke(ledger: Ledger, key: LedgerKey, now: Instant, why: string): Change {
  const changed = changeKey(ledger, key.keyID, { state: 'Revoked', revokedAt: now });
  return {
    ledger: key.keyID === ledger.activeKeyID ? withoutActiveKey(changed) : changed,
    transition: {
      reason: 'KeyRevoked',
      keyID: key.keyID,
      message: `key ${key.keyID} was revoked and its private key destroyed: ${why}`,
    },
  };
}

export function scheduleRetirement(
  ledger: Ledger,
  key: LedgerKey,
  stoppedSigningAt: Instant,
  retireAt: Instant,
): Change {
  return {
    ledger: changeKey(ledger, key.keyID, { stoppedSigningAt, retireAt }),
    transition: {
      reason: 'KeyRetiring',
      keyID: key.keyID,
      message: `key ${key.keyID} no longer signs and stays published for the overlap`,
    },
  };
}

export function recordSettings(ledger: Ledger, what: string): Change {
  return { ledger, transition: { reason: 'SettingsRecorded', message: `the ledger records the ${what}` } };
}

/** The rotation that is owed when a next key goes away, for the reason it was made for. */
export function owedWithout({ cause }: LedgerKey): Pick<Ledger, 'rotationOwed'> {
  return cause === 'Trigger' || cause === 'Request' || cause === 'Revocation' ? { rotationOwed: cause } : {};
}
