import type { Instant } from './duration.ts';
import { type KeyState, isFinal, mayMove } from './key-state.ts';
import type { PublicJwk } from './public-jwk.ts';

/** Why a revision was made; decides when it may sign (see key-policies). */
export type Cause = 'Initial' | 'Import' | 'Schedule' | 'Trigger' | 'Request' | 'KeySize' | 'Revocation';

/** Of what is not asked for again by itself, as the schedule and `spec.key.size` do, when its key goes away. */
export type OwedCause = Extract<Cause, 'Trigger' | 'Request' | 'Revocation'>;

/** One key's row. Times are set once, in the order of the lifecycle, but for `retireAt`, which follows `spec.overlap`. */
export interface LedgerKey {
  readonly revision: number;
  readonly keyID: string;
  readonly algorithm: 'RS256';
  readonly size: number;
  readonly publicJWK: PublicJwk;
  readonly state: KeyState;
  readonly cause: Cause;
  /** A public key of a former system: it is served until `retireAt`, and there is no private half. */
  readonly verifyOnly?: true;
  readonly createdAt: Instant;
  /** First time every ready replica was observed serving it. */
  readonly publishedAt?: Instant;
  /** Last time it became the signing key. */
  readonly activatedAt?: Instant;
  /** When the tool was given the next signing key, so that this one had stopped signing. */
  readonly stoppedSigningAt?: Instant;
  readonly retireAt?: Instant;
  readonly retiredAt?: Instant;
  /** When a revocation of the signing key was first seen: its grace for a replacement counts from here. */
  readonly revocationSeenAt?: Instant;
  readonly revokedAt?: Instant;
  /** Since when a revoked key was observed absent from every ready replica and the public URL. */
  readonly absentAt?: Instant;
}

/** The system of record of one registration: `ledger.json` of its ledger Secret. One write is one transaction. */
export interface Ledger {
  readonly namespace: string;
  readonly registration: string;
  /** The platform that the keys were made for; absent in ledgers that an earlier release wrote last. */
  readonly issuer?: string;
  /** +1 with every write. */
  readonly serial: number;
  readonly highestRevision: number;
  readonly activeKeyID?: string;
  /** A revision that was made for a rotation was lost to a revocation or discarded: the rotation is still owed. */
  readonly rotationOwed?: OwedCause;
  /** The last `spec.rotationTrigger` and rotate request that a rotation answered. */
  readonly observedRotationTrigger?: string;
  readonly observedRotateRequest?: string;
  readonly deletionPolicy: 'Retain' | 'Delete';
  /** Every delivery Secret that may exist, the wanted one last. */
  readonly deliveries: readonly Delivery[];
  /** In the order of their revisions. */
  readonly keys: readonly LedgerKey[];
}

export interface Delivery {
  readonly secretName: string;
  /** When another one took its place: tools may use it until the overlap is over. */
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

/** The ledger with `change` applied to one key; an illegal move of its state is a defect and throws. */
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

/** The key that waits to sign. There is at most one. */
export function nextKey(ledger: Ledger): LedgerKey | undefined {
  return ledger.keys.find((key) => key.state === 'Next');
}

export function keysIn(ledger: Ledger, state: KeyState): readonly LedgerKey[] {
  return ledger.keys.filter((key) => key.state === state);
}

/** Keys that are published. */
export function liveKeys(ledger: Ledger): readonly LedgerKey[] {
  return ledger.keys.filter((key) => !isFinal(key.state));
}

/** Keys whose private half the ledger keeps. */
export function sealedKeys(ledger: Ledger): readonly LedgerKey[] {
  return liveKeys(ledger).filter((key) => !key.verifyOnly);
}
