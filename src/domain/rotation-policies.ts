import { awaitsAcknowledgement, isClockSkewed, isRotationHeld, maySign } from './gates.ts';
import type { Policy } from './key-policies.ts';
import { activeKey, changeKey, keysIn, liveKeys, nextKey } from './ledger.ts';
import { answered, requestedCause } from './needed-revision.ts';
import { activationTime, publishedOverlap } from './timing.ts';
import { activate, owedWithout, scheduleRetirement } from './transition.ts';

/** Rotation: published, then signing, then retiring, then retired. */

/** With no signing key, the next one signs as soon as it is served: nobody waits for an older one to be forgotten. */
export const activateWithoutPredecessor: Policy = (lifecycle) => {
  const next = nextKey(lifecycle.ledger);
  if (activeKey(lifecycle.ledger) || !next || !maySign(lifecycle, next)) return undefined;
  if (next.cause !== 'Initial' && next.cause !== 'Import' && awaitsAcknowledgement(lifecycle, next)) return undefined;
  return activate(lifecycle, next, 'every ready replica serves it, and the registration had no signing key');
};

/** A time from a wrong clock is not recorded: the delay would seem over when the clock is right again. */
export const recordPublication: Policy = (lifecycle) => {
  const { ledger, observation, now } = lifecycle;
  if (isClockSkewed(lifecycle)) return undefined;
  const key = liveKeys(ledger).find(
    (live) => live.publishedAt === undefined && observation.servedKeyIDs.has(live.keyID),
  );
  if (!key) return undefined;
  return {
    ledger: changeKey(ledger, key.keyID, { publishedAt: now }),
    transition: { reason: 'KeyPublished', keyID: key.keyID, message: `every ready replica serves key ${key.keyID}` },
  };
};

/**
 * A next key that a replica was observed without is published anew: a platform that fetched the set meanwhile may keep it for
 * as long as it keeps any.
 */
export const forgetPublication: Policy = ({ ledger, observation }) => {
  const next = nextKey(ledger);
  if (next?.publishedAt === undefined || !observation.missingKeyIDs.has(next.keyID)) return undefined;
  return {
    ledger: changeKey(ledger, next.keyID, { publishedAt: undefined }),
    transition: {
      reason: 'KeyUnpublished',
      keyID: next.keyID,
      message: `a replica no longer serves key ${next.keyID}: its activation delay restarts when every ready replica serves it`,
    },
  };
};

/** A rotation in flight answers a new trigger, and no longer waits for its scheduled day. */
export const answerWithNextKey: Policy = (lifecycle) => {
  const { ledger } = lifecycle;
  const next = nextKey(ledger);
  const cause = requestedCause(lifecycle);
  if (!next || !cause || lifecycle.registration.suspend) return undefined;
  return {
    ledger: changeKey(answered(lifecycle, ledger), next.keyID, next.cause === 'Schedule' ? { cause } : {}),
    transition: {
      reason: 'RotationRequested',
      keyID: next.keyID,
      message: `a rotation was requested: key ${next.keyID}, which is already the next key, answers the request`,
    },
  };
};

/**
 * A next key of another size than the registration asks for by now gives way; it never signed. One that was imported
 * stays, for its tool signs with it.
 */
export const discardNextKey: Policy = ({ registration, ledger, now }) => {
  const next = nextKey(ledger);
  if (!next || next.size === registration.keySize || registration.suspend || next.cause === 'Import') return undefined;
  return {
    ledger: { ...changeKey(ledger, next.keyID, { state: 'Retired', retiredAt: now }), ...owedWithout(next) },
    transition: {
      reason: 'NextKeyDiscarded',
      keyID: next.keyID,
      message: `key ${next.keyID} was discarded before it signed: it has ${next.size} bits, and spec.key.size is now ${registration.keySize}`,
    },
  };
};

/** The rotation: published now, published long enough, its day has come, and nothing holds it back. */
export const activateNextKey: Policy = (lifecycle) => {
  const { registration, ledger, now } = lifecycle;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  if (!active || !next || isRotationHeld(lifecycle) || !maySign(lifecycle, next)) return undefined;
  const time = activationTime(next, active, registration, now);
  if (time === undefined || now < time || awaitsAcknowledgement(lifecycle, next)) return undefined;
  return activate(lifecycle, next, `it replaces key ${active.keyID}`);
};

/** The overlap counts from the moment the tool had the new key; where nothing is delivered, from the activation. */
export const startOverlap: Policy = (lifecycle) => {
  const { registration, ledger, delivery, limits, now } = lifecycle;
  const key = keysIn(ledger, 'Retiring').find(
    ({ stoppedSigningAt, verifyOnly }) => stoppedSigningAt === undefined && !verifyOnly,
  );
  const delivered = registration.deliverySecretName === undefined || delivery.keyID === ledger.activeKeyID;
  // A left over Secret may still hold the key, and a wrong clock would end the overlap at a wrong time.
  if (!key || !delivered || delivery.leftovers.length > 0 || isClockSkewed(lifecycle)) return undefined;
  return scheduleRetirement(ledger, key, now, now + publishedOverlap(registration, limits));
};

/** `spec.overlap` may change while a key retires. */
export const followOverlap: Policy = ({ registration, ledger, limits }) => {
  const overlap = publishedOverlap(registration, limits);
  const key = keysIn(ledger, 'Retiring').find(
    ({ stoppedSigningAt, retireAt }) => stoppedSigningAt !== undefined && retireAt !== stoppedSigningAt + overlap,
  );
  return key && scheduleRetirement(ledger, key, key.stoppedSigningAt!, key.stoppedSigningAt! + overlap);
};

export const retire: Policy = (lifecycle) => {
  const { registration, ledger, now } = lifecycle;
  const key = keysIn(ledger, 'Retiring').find(({ retireAt }) => retireAt !== undefined && retireAt <= now);
  if (!key || registration.suspend || isClockSkewed(lifecycle)) return undefined;
  return {
    ledger: changeKey(ledger, key.keyID, { state: 'Retired', retiredAt: now }),
    transition: {
      reason: 'KeyRetired',
      keyID: key.keyID,
      message: `the overlap of key ${key.keyID} ended: it is no longer published, and its private key was destroyed`,
    },
  };
};
