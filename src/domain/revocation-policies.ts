import { formatDuration, type Instant } from './duration.ts';
import type { Policy } from './key-policies.ts';
import {
  activate,
  activeKey,
  changeKey,
  keysIn,
  type Ledger,
  liveKeys,
  nextKey,
  owedWithout,
  recordSettings,
  revoke,
} from './ledger.ts';
import { replacementFor } from './preconditions.ts';
import { revocationGrace } from './timing.ts';

/** Revocation: a revoked key leaves at once, or, if it signs, as soon as another key can replace it. */

/** A revoked key that does not sign leaves at once. */
export const revokeIdleKey: Policy = ({ registration, ledger, now }) => {
  const key = liveKeys(ledger).find((live) => live.state !== 'Active' && registration.revokedKeyIDs.has(live.keyID));
  if (!key) return undefined;
  const change = revoke(ledger, key, now, 'it was not the signing key');
  return key.state === 'Next' ? { ...change, ledger: { ...change.ledger, ...owedWithout(key) } } : change;
};

/**
 * A revoked signing key is replaced by a published next key, or else by a Retiring key that is still published. With neither, it
 * leaves at the end of its grace period.
 */
export const revokeSigningKey: Policy = (lifecycle) => {
  const { registration, ledger, now } = lifecycle;
  const key = activeKey(ledger);
  if (!key || !registration.revokedKeyIDs.has(key.keyID)) return undefined;
  const replacement = replacementFor(lifecycle);
  if (replacement) {
    const revocation = revoke(ledger, key, now, `key ${replacement.keyID} replaces it`);
    const owed = replacement.state === 'Retiring' ? owingSuccessor(revocation.ledger) : revocation.ledger;
    const activation = activate({ ...lifecycle, ledger: owed }, replacement, `it replaces revoked key ${key.keyID}`);
    return { ...activation, transitions: [...revocation.transitions, ...activation.transitions] };
  }
  if (lifecycle.unpublishedKeyIDs.has(key.keyID)) return revoke(ledger, key, now, 'it was no longer published');
  if (key.revocationSeenAt === undefined) {
    const message = `signing key ${key.keyID} is being revoked: it stays published until a replacement is published, but at most ${formatDuration(revocationGrace)}`;
    return {
      ledger: changeKey(ledger, key.keyID, { revocationSeenAt: now }),
      transitions: [{ reason: 'KeyRevoked', message }],
    };
  }
  const waited = now - key.revocationSeenAt;
  // A clock that was set back does not extend the grace period.
  if (waited >= 0 && waited < revocationGrace) return undefined;
  return revoke(ledger, key, now, 'no replacement was published in time');
};

/** A revocation of the signing key that was withdrawn leaves no trace: a later one has its whole grace period. */
export const forgetRevocation: Policy = ({ registration, ledger }) => {
  const key = activeKey(ledger);
  if (key?.revocationSeenAt === undefined || registration.revokedKeyIDs.has(key.keyID)) return undefined;
  return recordSettings(changeKey(ledger, key.keyID, { revocationSeenAt: undefined }));
};

/**
 * Records since when no replica serves a revoked key. The time starts again if a replica serves it again or cannot be checked,
 * because caches may have fetched the key in between.
 */
export const recordAbsence: Policy = ({ ledger, observation, now }) => {
  const revokedKeys = keysIn(ledger, 'Revoked');
  const gone = revokedKeys.find(({ keyID, absentAt }) => absentAt === undefined && observation.absentKeyIDs.has(keyID));
  if (gone) return recordSettings(changeKey(ledger, gone.keyID, { absentAt: now }));
  const back = revokedKeys.find(({ keyID, absentAt }) => absentAt !== undefined && observation.stillServed.has(keyID));
  return back && recordSettings(changeKey(ledger, back.keyID, { absentAt: undefined }));
};

/** After an older key became the signing key, a newer one has to follow: the present next key, or one that is owed. */
function owingSuccessor(ledger: Ledger): Ledger {
  const next = nextKey(ledger);
  return next ? changeKey(ledger, next.keyID, { cause: 'Revocation' }) : { ...ledger, rotationOwed: 'Revocation' };
}

/** The ledger with these keys revoked; the same object if none of them was live. For revocations that cannot wait for a plan. */
export function withoutRevoked(ledger: Ledger, keyIDs: ReadonlySet<string>, now: Instant): Ledger {
  return liveKeys(ledger)
    .filter(({ keyID }) => keyIDs.has(keyID))
    .reduce((current, key) => revoke(current, key, now, 'spec.revokedKeyIDs lists it').ledger, ledger);
}
