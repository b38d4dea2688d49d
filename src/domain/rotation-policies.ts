import { awaitsFetch } from './fetches.ts';
import type { Policy } from './key-policies.ts';
import {
  activate,
  activeKey,
  changeKey,
  keysIn,
  liveKeys,
  nextKey,
  owedWithout,
  scheduleRetirement,
} from './ledger.ts';
import { awaitsAcknowledgement, isClockSkewed, isReadyToSign } from './preconditions.ts';
import { answered, requestedCause } from './rotation-requests.ts';
import { activationTime, isRotationHeld, publishedOverlap } from './timing.ts';

/** Rotation: a key is published, then signs, then retires. `isReadyToSign` in preconditions.ts is the gate of every activation. */

/** Without a signing key, the next key signs as soon as it is served: an activation delay would leave the tool without any key. */
export const activateWithoutPredecessor: Policy = (lifecycle) => {
  const next = nextKey(lifecycle.ledger);
  if (activeKey(lifecycle.ledger) || !next || !isReadyToSign(lifecycle, next)) return undefined;
  if (next.cause !== 'Initial' && next.cause !== 'Import' && awaitsAcknowledgement(lifecycle, next)) return undefined;
  return activate(lifecycle, next, 'every ready replica serves it, and the registration had no signing key');
};

/** With a skewed clock, no time is recorded: the activation delay would seem over once the clock is right again. */
export const recordPublication: Policy = (lifecycle) => {
  const { ledger, observation, now } = lifecycle;
  if (isClockSkewed(lifecycle)) return undefined;
  const key = liveKeys(ledger).find(
    (live) => live.publishedAt === undefined && observation.servedKeyIDs.has(live.keyID),
  );
  if (!key) return undefined;
  return { ledger: changeKey(ledger, key.keyID, { publishedAt: now }), transitions: [{ reason: 'KeyPublished' }] };
};

/**
 * The activation delay of a next key restarts if a replica was observed without it: a platform that fetched the key set from that
 * replica may cache it for as long as any.
 */
export const forgetPublication: Policy = ({ ledger, observation }) => {
  const next = nextKey(ledger);
  if (next?.publishedAt === undefined || !observation.missingKeyIDs.has(next.keyID)) return undefined;
  return {
    ledger: changeKey(ledger, next.keyID, { publishedAt: undefined }),
    transitions: [{ reason: 'KeyUnpublished' }],
  };
};

/** A rotation in progress answers a new request, and no longer waits for its scheduled day. */
export const answerWithNextKey: Policy = (lifecycle) => {
  const { ledger } = lifecycle;
  const next = nextKey(ledger);
  const cause = requestedCause(lifecycle);
  if (!next || !cause || lifecycle.registration.suspend) return undefined;
  const message = `a rotation was requested: key ${next.keyID}, which is already the next key, answers the request`;
  return {
    ledger: changeKey(answered(lifecycle, ledger), next.keyID, next.cause === 'Schedule' ? { cause } : {}),
    transitions: [{ reason: 'RotationRequested', message }],
  };
};

/**
 * A next key of another size than `spec.key.size` is discarded; it never signed. An imported key is kept, because its tool
 * signs with it.
 */
export const discardNextKey: Policy = ({ registration, ledger, now }) => {
  const next = nextKey(ledger);
  if (!next || next.size === registration.keySize || registration.suspend || next.cause === 'Import') return undefined;
  const message = `key ${next.keyID} was discarded before it signed: it has ${next.size} bits, and spec.key.size is now ${registration.keySize}`;
  return {
    ledger: { ...changeKey(ledger, next.keyID, { state: 'Retired', retiredAt: now }), ...owedWithout(next) },
    transitions: [{ reason: 'NextKeyDiscarded', message }],
  };
};

/** The rotation: the next key is published now and has been for long enough, it is due, and nothing blocks it. */
export const activateNextKey: Policy = (lifecycle) => {
  const { registration, ledger, now } = lifecycle;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  if (!active || !next || isRotationHeld(lifecycle) || !isReadyToSign(lifecycle, next)) return undefined;
  const time = activationTime(next, active, registration, now);
  if (time === undefined || now < time) return undefined;
  if (awaitsAcknowledgement(lifecycle, next) || awaitsFetch(lifecycle, next)) return undefined;
  return activate(lifecycle, next, `it replaces key ${active.keyID}`);
};

/** The overlap starts when the new key was delivered to the tool; without a delivery Secret, when it was activated. */
export const startOverlap: Policy = (lifecycle) => {
  const { registration, ledger, delivery, limits, now } = lifecycle;
  const key = keysIn(ledger, 'Retiring').find(
    ({ stoppedSigningAt, verifyOnly }) => stoppedSigningAt === undefined && !verifyOnly,
  );
  const delivered = registration.deliverySecretName === undefined || delivery.keyID === ledger.activeKeyID;
  // A leftover Secret may still hold the key, and a skewed clock would end the overlap at the wrong time.
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
  const message = `the overlap of key ${key.keyID} ended: it is no longer published, and its private key was destroyed`;
  return {
    ledger: changeKey(ledger, key.keyID, { state: 'Retired', retiredAt: now }),
    transitions: [{ reason: 'KeyRetired', message }],
  };
};
