import { isFinal } from './key-state.ts';
import { activeKey, type Cause, changeKey, keysIn, type Ledger, type LedgerKey, liveKeys, nextKey } from './ledger.ts';
import type { Situation } from './situation.ts';
import {
  activationTime,
  preparationTime,
  publishedOverlap,
  revocationGrace,
  shortCachePeriod,
  timingFault,
  toleratedClockSkew,
} from './timing.ts';
import { activated, type Change, retirementAt, revoked, settings } from './transition.ts';

/** A reason to change the ledger now, or `undefined`. Each is one function; `policies` is their order. */
export type Policy = (situation: Situation) => Change | undefined;

/** A revoked key that does not sign leaves at once. */
const revokeIdleKey: Policy = ({ registration, ledger, now }) => {
  const key = liveKeys(ledger).find((live) => live.state !== 'Active' && registration.revokedKeyIDs.has(live.keyID));
  if (!key) return undefined;
  const change = revoked(ledger, key, now, 'it did not sign');
  return key.state === 'Next' ? { ...change, ledger: { ...change.ledger, ...owedWithout(key) } } : change;
};

/**
 * A revoked signing key is replaced first if that is quick: by a published next key, else by a still published retiring
 * one; with neither it leaves when its grace is over, replacement or not.
 */
const revokeSigningKey: Policy = (situation) => {
  const { registration, ledger, now } = situation;
  const key = activeKey(ledger);
  if (!key || !registration.revokedKeyIDs.has(key.keyID)) return undefined;
  const replacement = replacementFor(situation);
  if (replacement) {
    const revocation = revoked(ledger, key, now, `key ${replacement.keyID} takes over`);
    const owed: Ledger =
      replacement.state === 'Retiring' ? { ...revocation.ledger, rotationOwed: 'Revocation' } : revocation.ledger;
    const why = `it replaces the revoked key ${key.keyID}`;
    return { ...activated({ ...situation, ledger: owed }, replacement, why), besides: revocation.transition };
  }
  if (key.revocationSeenAt === undefined) {
    return {
      ledger: changeKey(ledger, key.keyID, { revocationSeenAt: now }),
      transition: {
        reason: 'KeyRevoked',
        keyID: key.keyID,
        message: `signing key ${key.keyID} is revoked and leaves as soon as a replacement is published`,
      },
    };
  }
  const waited = now - key.revocationSeenAt;
  // A clock that went back grants no second grace.
  if (waited >= 0 && waited < revocationGrace) return undefined;
  return revoked(ledger, key, now, 'no replacement was published in time');
};

/** A revocation that was taken back leaves nothing behind: another one has its whole grace. */
const forgetRevocation: Policy = ({ registration, ledger }) => {
  const key = activeKey(ledger);
  if (key?.revocationSeenAt === undefined || registration.revokedKeyIDs.has(key.keyID)) return undefined;
  return settings(changeKey(ledger, key.keyID, { revocationSeenAt: undefined }), 'withdrawn revocation');
};

/** With no signing key, the next one signs as soon as it is served: nobody waits for an older one to be forgotten. */
const activateWithoutPredecessor: Policy = (situation) => {
  const next = nextKey(situation.ledger);
  if (activeKey(situation.ledger) || !next || !maySign(situation, next)) return undefined;
  if (next.cause !== 'Initial' && next.cause !== 'Import' && awaitsAcknowledgement(situation, next)) return undefined;
  return activated(situation, next, 'every ready replica serves it and no other key signs');
};

/** A time from a wrong clock is not recorded: the delay would seem over when the clock is right again. */
const recordPublication: Policy = (situation) => {
  const { ledger, observation, now } = situation;
  if (isClockSkewed(situation)) return undefined;
  const key = liveKeys(ledger).find(
    (live) => live.publishedAt === undefined && observation.servedKeyIDs.has(live.keyID),
  );
  if (!key) return undefined;
  return {
    ledger: changeKey(ledger, key.keyID, { publishedAt: now }),
    transition: { reason: 'KeyPublished', keyID: key.keyID, message: `every ready replica serves key ${key.keyID}` },
  };
};

/** A rotation in flight answers a new trigger, and no longer waits for its scheduled day. */
const answerWithNextKey: Policy = (situation) => {
  const { ledger } = situation;
  const next = nextKey(ledger);
  const cause = requestedCause(situation);
  if (!next || !cause || situation.registration.suspend) return undefined;
  return {
    ledger: changeKey(answered(situation, ledger), next.keyID, next.cause === 'Schedule' ? { cause } : {}),
    transition: {
      reason: 'RotationRequested',
      keyID: next.keyID,
      message: `key ${next.keyID}, already on its way, answers the request`,
    },
  };
};

/**
 * A next key of another size than the registration asks for by now gives way; it never signed. One that was imported
 * stays, for its tool signs with it.
 */
const discardNextKey: Policy = ({ registration, ledger, now }) => {
  const next = nextKey(ledger);
  if (!next || next.size === registration.keySize || registration.suspend || next.cause === 'Import') return undefined;
  return {
    ledger: { ...changeKey(ledger, next.keyID, { state: 'Retired', retiredAt: now }), ...owedWithout(next) },
    transition: {
      reason: 'KeyDiscarded',
      keyID: next.keyID,
      message: `spec.key.size is ${registration.keySize} now, key ${next.keyID} has ${next.size} bits and never signed`,
    },
  };
};

/** The rotation: published now, published long enough, its day has come, and nothing holds it back. */
const activateNextKey: Policy = (situation) => {
  const { registration, ledger, now } = situation;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  if (!active || !next || isRotationHeld(situation) || !maySign(situation, next)) return undefined;
  const time = activationTime(next, active, registration, now);
  if (time === undefined || now < time || awaitsAcknowledgement(situation, next)) return undefined;
  return activated(situation, next, `it replaces ${active.keyID}`);
};

/** The overlap counts from the moment the tool had the new key; where nothing is delivered, from the activation. */
const recordStop: Policy = (situation) => {
  const { registration, ledger, delivery, limits, now } = situation;
  const key = keysIn(ledger, 'Retiring').find(
    ({ stoppedSigningAt, verifyOnly }) => stoppedSigningAt === undefined && !verifyOnly,
  );
  const delivered = registration.deliverySecretName === undefined || delivery.keyID === ledger.activeKeyID;
  // A left over Secret may still hold the key, and a wrong clock would end the overlap at a wrong time.
  if (!key || !delivered || delivery.leftovers.length > 0 || isClockSkewed(situation)) return undefined;
  return retirementAt(ledger, key, now, now + publishedOverlap(registration, limits));
};

/** `spec.overlap` may change while a key retires. */
const followOverlap: Policy = ({ registration, ledger, limits }) => {
  const overlap = publishedOverlap(registration, limits);
  const key = keysIn(ledger, 'Retiring').find(
    ({ stoppedSigningAt, retireAt }) => stoppedSigningAt !== undefined && retireAt !== stoppedSigningAt + overlap,
  );
  return key && retirementAt(ledger, key, key.stoppedSigningAt!, key.stoppedSigningAt! + overlap);
};

const retire: Policy = (situation) => {
  const { registration, ledger, now } = situation;
  const key = keysIn(ledger, 'Retiring').find(({ retireAt }) => retireAt !== undefined && retireAt <= now);
  if (!key || registration.suspend || isClockSkewed(situation)) return undefined;
  return {
    ledger: changeKey(ledger, key.keyID, { state: 'Retired', retiredAt: now }),
    transition: {
      reason: 'KeyRetired',
      keyID: key.keyID,
      message: `the overlap of key ${key.keyID} is over; its private half is destroyed`,
    },
  };
};

/**
 * A delivery Secret is recorded before it is written and forgotten after it is gone, so that none is left behind. The last
 * one before the wanted one stays on record: a controller that fell behind may still be about to create it.
 */
const recordDelivery: Policy = ({ registration, ledger, delivery }) => {
  const wanted = registration.deliverySecretName;
  const others = ledger.deliverySecretNames.filter((name) => name !== wanted);
  const names = [
    ...others.filter((name) => name === others.at(-1) || delivery.leftovers.includes(name)),
    ...(wanted === undefined ? [] : [wanted]),
  ];
  if (names.join() === ledger.deliverySecretNames.join()) return undefined;
  return settings({ ...ledger, deliverySecretNames: names }, 'delivery Secret');
};

const recordDeletionPolicy: Policy = ({ registration: { deletionPolicy }, ledger }) =>
  ledger.deletionPolicy === deletionPolicy ? undefined : settings({ ...ledger, deletionPolicy }, 'deletion policy');

/** Final records beyond the limit go, oldest first; a revoked one stays while it shortens its documents' cache lifetime. */
const pruneHistory: Policy = ({ registration, ledger, now }) => {
  const final = ledger.keys.filter((key) => isFinal(key.state));
  const surplus = final
    .slice(0, Math.max(0, final.length - registration.keyHistoryLimit))
    .filter((key) => key.revokedAt === undefined || key.revokedAt + shortCachePeriod <= now);
  if (surplus.length === 0) return undefined;
  return {
    ledger: { ...ledger, keys: ledger.keys.filter((key) => !surplus.includes(key)) },
    transition: {
      reason: 'HistoryPruned',
      message: `spec.keyHistoryLimit keeps ${registration.keyHistoryLimit} records`,
    },
  };
};

/** In this order the first that applies wins; then the chain is asked again. */
export const policies: readonly Policy[] = [
  revokeIdleKey,
  revokeSigningKey,
  forgetRevocation,
  recordPublication,
  activateWithoutPredecessor,
  answerWithNextKey,
  discardNextKey,
  activateNextKey,
  recordStop,
  followOverlap,
  retire,
  recordDelivery,
  recordDeletionPolicy,
  pruneHistory,
];

/** Why a new revision has to be made now, or `undefined`. */
export function neededRevision(situation: Situation): Cause | undefined {
  const { registration, ledger, now } = situation;
  if (nextKey(ledger)) return undefined;
  const active = activeKey(ledger);
  if (!active && ledger.highestRevision > 0) return 'Revocation';
  if (!active) return situation.imports?.signing ? 'Import' : 'Initial';
  if (registration.revokedKeyIDs.has(active.keyID)) return replacementFor(situation) ? undefined : 'Revocation';
  if (isRotationHeld(situation)) return undefined;
  if (ledger.rotationOwed) return ledger.rotationOwed;
  if (isWrongSize(active, registration.keySize)) return 'KeySize';
  return requestedCause(situation) ?? (now >= preparationTime(active, registration) ? 'Schedule' : undefined);
}

/** The ledger that remembers the registration's present trigger and request as answered. */
export function answered({ registration }: Situation, ledger: Ledger): Ledger {
  return {
    ...ledger,
    ...(registration.rotationTrigger === undefined ? {} : { observedRotationTrigger: registration.rotationTrigger }),
    ...(registration.rotateRequest === undefined ? {} : { observedRotateRequest: registration.rotateRequest }),
  };
}

export function isClockSkewed({ clockSkew }: Situation): boolean {
  return Math.abs(clockSkew) > toleratedClockSkew;
}

/** A Manual registration's key signs only when somebody said that the platform has it. */
export function awaitsAcknowledgement({ registration }: Situation, key: LedgerKey): boolean {
  return registration.keyDistribution === 'Manual' && registration.acknowledgedKeyID !== key.keyID;
}

/** What stops every rotation of the registration, whatever asks for it. */
export function isRotationHeld(situation: Situation): boolean {
  const { registration, limits, observation } = situation;
  return registration.suspend || timingFault(registration, limits, observation.cacheLifetime) !== undefined;
}

/** Served now by every ready replica, openable, and the time can be trusted. */
function maySign(situation: Situation, key: LedgerKey): boolean {
  const { observation, custody } = situation;
  return observation.servedKeyIDs.has(key.keyID) && custody.get(key.keyID)?.opens === true && !isClockSkewed(situation);
}

function replacementFor(situation: Situation): LedgerKey | undefined {
  const { ledger, registration } = situation;
  const next = nextKey(ledger);
  const candidates = [
    ...(next && !awaitsAcknowledgement(situation, next) ? [next] : []),
    ...keysIn(ledger, 'Retiring').toReversed(),
  ];
  return candidates.find((key) => !registration.revokedKeyIDs.has(key.keyID) && maySign(situation, key));
}

/** A key that a tool brought along may be larger than asked for: a rotation in the middle of its move would break that. */
function isWrongSize({ cause, size }: LedgerKey, wanted: number): boolean {
  return cause === 'Import' ? size < wanted : size !== wanted;
}

function requestedCause({ registration, ledger }: Situation): Cause | undefined {
  const { rotationTrigger, rotateRequest } = registration;
  if (rotationTrigger !== undefined && rotationTrigger !== ledger.observedRotationTrigger) return 'Trigger';
  if (rotateRequest !== undefined && rotateRequest !== ledger.observedRotateRequest) return 'Request';
  return undefined;
}

/** The rotation that is owed when a next key goes away, for the reason it was made for. */
function owedWithout({ cause }: LedgerKey): Pick<Ledger, 'rotationOwed'> {
  return cause === 'Trigger' || cause === 'Request' || cause === 'Revocation' ? { rotationOwed: cause } : {};
}
