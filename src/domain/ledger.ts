import type { eventReasons } from '../api/reasons.ts';
import type { Instant } from './duration.ts';
import { type KeyState, isFinal, mayMove } from './key-state.ts';
import type { PublicJwk } from './public-jwk.ts';
import type { Lifecycle } from './situation.ts';

/** Why a revision was made; it decides when the key may sign (see rotation-policies.ts). */
export type Cause = 'Initial' | 'Import' | 'Schedule' | 'Trigger' | 'Request' | 'KeySize' | 'Revocation';

/** Causes to record if the new key goes away; unlike Schedule and KeySize, they do not recur by themselves. */
export type OwedCause = Extract<Cause, 'Trigger' | 'Request' | 'Revocation'>;

/** The row of one key. Times are set once, in the order of the lifecycle, except `retireAt`, which follows `spec.overlap`. */
export interface LedgerKey {
  readonly revision: number;
  readonly keyID: string;
  readonly algorithm: 'RS256';
  readonly size: number;
  readonly publicJWK: PublicJwk;
  readonly state: KeyState;
  readonly cause: Cause;
  /** A public key of a former system: it is published until `retireAt`, and the ledger has no private half. */
  readonly verifyOnly?: true;
  readonly createdAt: Instant;
  /** When every ready replica was first observed serving it. */
  readonly publishedAt?: Instant;
  /** When it last became the signing key. */
  readonly activatedAt?: Instant;
  /** When the next signing key was delivered to the tool, so that this one no longer signs. */
  readonly stoppedSigningAt?: Instant;
  readonly retireAt?: Instant;
  readonly retiredAt?: Instant;
  /** When the revocation of the signing key was first seen: its grace period starts here. */
  readonly revocationSeenAt?: Instant;
  readonly revokedAt?: Instant;
  /** Since when a revoked key has been observed absent from every ready replica and the public URL. */
  readonly absentAt?: Instant;
}

/** The system of record of one registration: `ledger.json` of its ledger Secret. One write is one transaction. */
export interface Ledger {
  readonly namespace: string;
  readonly registration: string;
  /** The platform that the keys were made for; absent until it is known, and in ledgers last written by an earlier release. */
  readonly issuer?: string;
  /** +1 with every write. */
  readonly serial: number;
  readonly highestRevision: number;
  readonly activeKeyID?: string;
  /** The new key of this rotation was revoked or discarded before it signed, so the rotation is still owed. */
  readonly rotationOwed?: OwedCause;
  /** The last `spec.rotationTrigger` and rotate request that a rotation answered. */
  readonly observedRotationTrigger?: string;
  readonly observedRotateRequest?: string;
  readonly deletionPolicy: 'Retain' | 'Delete';
  /** Every delivery Secret that may exist; the configured one is last. */
  readonly deliveries: readonly Delivery[];
  /** In the order of their revisions. */
  readonly keys: readonly LedgerKey[];
}

export interface Delivery {
  readonly secretName: string;
  /** When another Secret replaced it: tools may use it until the overlap ends. */
  readonly leftAt?: Instant;
}

export function emptyLedger(namespace: string, registration: string): Ledger {
  return {
    namespace,
    registration,
    serial: 0,
    highestRevision: 0,
    deletionPolicy: 'Retain',
    deliveries: [],
    keys: [],
  };
}

export type KeyFacts = Pick<LedgerKey, 'keyID' | 'algorithm' | 'size' | 'publicJWK'>;

/** The ledger with a new revision in state Next. */
export function addKey(ledger: Ledger, facts: KeyFacts, cause: Cause, now: Instant): Ledger {
  const revision = ledger.highestRevision + 1;
  const { keyID, algorithm, size, publicJWK } = facts;
  const key: LedgerKey = { revision, keyID, algorithm, size, publicJWK, state: 'Next', cause, createdAt: now };
  return { ...ledger, highestRevision: revision, keys: [...ledger.keys, key] };
}

type Changeable = Omit<
  LedgerKey,
  'verifyOnly' | 'revision' | 'keyID' | 'algorithm' | 'size' | 'publicJWK' | 'createdAt'
>;
/** New values of a key's fields; `undefined` removes one. */
export type KeyChange = { readonly [Field in keyof Changeable]?: Changeable[Field] | undefined };

/** The ledger with `change` applied to one key. Throws on an illegal change of state, which is a defect. */
export function changeKey(ledger: Ledger, keyID: string, change: KeyChange): Ledger {
  const keys = ledger.keys.map((key) => {
    if (key.keyID !== keyID) return key;
    if (change.state && change.state !== key.state && !mayMove(key.state, change.state)) {
      throw new Error(`key ${keyID} may not move from ${key.state} to ${change.state}`);
    }
    const changed = Object.entries({ ...key, ...change }).filter(([, value]) => value !== undefined);
    return Object.fromEntries(changed) as unknown as LedgerKey;
  });
  return { ...ledger, keys };
}

export function withoutActiveKey(ledger: Ledger): Ledger {
  const { activeKeyID: _, ...rest } = ledger;
  return rest;
}

export function activeKey(ledger: Ledger): LedgerKey | undefined {
  return ledger.keys.find((key) => key.keyID === ledger.activeKeyID);
}

/** The key that signs next. There is at most one. */
export function nextKey(ledger: Ledger): LedgerKey | undefined {
  return ledger.keys.find((key) => key.state === 'Next');
}

export function keysIn(ledger: Ledger, state: KeyState): readonly LedgerKey[] {
  return ledger.keys.filter((key) => key.state === state);
}

/** The published keys: Next, Active and Retiring. */
export function liveKeys(ledger: Ledger): readonly LedgerKey[] {
  return ledger.keys.filter((key) => !isFinal(key.state));
}

/** Keys whose private half is in the ledger Secret. */
export function sealedKeys(ledger: Ledger): readonly LedgerKey[] {
  return liveKeys(ledger).filter((key) => !key.verifyOnly);
}

/** One step of the lifecycle. Its reason is logged; one with a message is also announced by an event. */
export type Transition =
  | {
      readonly reason: 'KeyPublished' | 'KeyUnpublished' | 'KeyRetiring' | 'SettingsRecorded' | 'HistoryPruned';
      readonly message?: undefined;
    }
  | { readonly reason: keyof typeof eventReasons; readonly message: string };

export interface Change {
  readonly ledger: Ledger;
  readonly transitions: readonly Transition[];
}

/** Makes `key` the signing key: the pointer and the states of both keys change in one write. */
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
    transitions: [{ reason: 'KeyActivated', message: `key ${key.keyID} is now the signing key: ${why}` }],
  };
}

export function revoke(ledger: Ledger, key: LedgerKey, now: Instant, why: string): Change {
  const changed = changeKey(ledger, key.keyID, { state: 'Revoked', revokedAt: now });
  const message = `key ${key.keyID} was revoked and its private key destroyed: ${why}`;
  return {
    ledger: key.keyID === ledger.activeKeyID ? withoutActiveKey(changed) : changed,
    transitions: [{ reason: 'KeyRevoked', message }],
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
    transitions: [{ reason: 'KeyRetiring' }],
  };
}

export function recordSettings(ledger: Ledger): Change {
  return { ledger, transitions: [{ reason: 'SettingsRecorded' }] };
}

/** The rotation to retry if this next key is discarded or revoked before it signs, with the cause it was made for. */
export function owedWithout({ cause }: LedgerKey): Pick<Ledger, 'rotationOwed'> {
  return cause === 'Trigger' || cause === 'Request' || cause === 'Revocation' ? { rotationOwed: cause } : {};
}
