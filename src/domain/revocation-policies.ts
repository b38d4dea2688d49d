import { awaitsAcknowledgement, maySign } from './gates.ts';
import type { Policy } from './key-policies.ts';
import { activeKey, changeKey, keysIn, type Ledger, type LedgerKey, liveKeys, nextKey } from './ledger.ts';
import { formatDuration, type Instant } from './duration.ts';
import type { Lifecycle } from './situation.ts';
import { revocationGrace } from './timing.ts';
import { activate, owedWithout, revoke, recordSettings } from './transition.ts';

/** Revocation: a revoked key leaves at once, or, if it signs, as soon as another one can take its place. */

/** A revoked key that does not sign leaves at once. */
export const revokeIdleKey: Policy = ({ registration, ledger, now }) => {
  const key = liveKeys(ledger).find((live) => live.state !== 'Active' && registration.revokedKeyIDs.has(live.keyID));
  if (!key) return undefined;
  const change = revoke(ledger, key, now, 'it was not the signing key');
  return key.state === 'Next' ? { ...change, ledger: { ...change.ledger, ...owedWithout(key) } } : change;
};

/**
 * A revoked signing key is replaced first if that is quick: by a published next key, else by a still published retiring
 * one; with neither it leaves when its grace is over, replacement or not.
 */
export const revokeSigningKey: Policy = (lifecycle) => {
  const { registration, ledger, now } = lifecycle;
  const key = activeKey(ledger);
  if (!key || !registration.revokedKeyIDs.has(key.keyID)) return undefined;
  const replacement = replacementFor(lifecycle);
  if (replacement) {
    const revocation = revoke(ledger, key, now, `key ${replacement.keyID} replaces it`);
    const owed = replacement.state === 'Retiring' ? owingSuccessor(revocation.ledger) : revocation.ledger;
    const why = `it replaces revoked key ${key.keyID}`;
    return { ...activate({ ...lifecycle, ledger: owed }, replacement, why), besides: revocation.transition };
  }
  if (lifecycle.withdrawnKeyIDs.has(key.keyID)) return revoke(ledger, key, now, 'it was no longer published');
  if (key.revocationSeenAt === undefined) {
    return {
      ledger: changeKey(ledger, key.keyID, { revocationSeenAt: now }),
      transition: {
        reason: 'KeyRevoked',
        keyID: key.keyID,
        message: `signing key ${key.keyID} is being revoked: it stays published until a replacement is published, but at most ${formatDuration(revocationGrace)}`,
      },
    };
  }
  const waited = now - key.revocationSeenAt;
  // A clock that went back grants no second grace.
  if (waited >= 0 && waited < revocationGrace) return undefined;
  return revoke(ledger, key, now, 'no replacement was published in time');
};

/** A revocation that was taken back leaves nothing behind: another one has its whole grace. */
export const forgetRevocation: Policy = ({ registration, ledger }) => {
  const key = activeKey(ledger);
  if (key?.revocationSeenAt === undefined || registration.revokedKeyIDs.has(key.keyID)) return undefined;
  return recordSettings(changeKey(ledger, key.keyID, { revocationSeenAt: undefined }), 'withdrawn revocation');
};

/**
 * Since when nobody serves a revoked key. A replica that serves it again, or is not known not to, starts the count anew: caches
 * may have fetched it meanwhile.
 */
export const recordAbsence: Policy = ({ ledger, observation, now }) => {
  const revokedKeys = keysIn(ledger, 'Revoked');
  const gone = revokedKeys.find(({ keyID, absentAt }) => absentAt === undefined && observation.absentKeyIDs.has(keyID));
  if (gone) return recordSettings(changeKey(ledger, gone.keyID, { absentAt: now }), 'absence of a revoked key');
  const back = revokedKeys.find(({ keyID, absentAt }) => absentAt !== undefined && observation.stillServed.has(keyID));
  return back && recordSettings(changeKey(ledger, back.keyID, { absentAt: undefined }), 'return of a revoked key');
};

/** The key that signs in place of a revoked one now: a published next key, else the newest one that is still published. */
export function replacementFor(lifecycle: Lifecycle): LedgerKey | undefined {
  const { ledger, registration } = lifecycle;
  const next = nextKey(ledger);
  const candidates = [
    ...(next && !awaitsAcknowledgement(lifecycle, next) ? [next] : []),
    ...keysIn(ledger, 'Retiring').toReversed(),
  ];
  return candidates.find((key) => !registration.revokedKeyIDs.has(key.keyID) && maySign(lifecycle, key));
}

/** After an older key took over, a newer one has to follow: the one that is on its way, or else one that is owed. */
function owingSuccessor(ledger: Ledger): Ledger {
  const next = nextKey(ledger);
  return next ? changeKey(ledger, next.keyID, { cause: 'Revocation' }) : { ...ledger, rotationOwed: 'Revocation' };
}

/** The ledger in which none of these keys is live any more; the same one where none was. For revocations that cannot wait. */
export function withoutRevoked(ledger: Ledger, keyIDs: ReadonlySet<string>, now: Instant): Ledger {
  return liveKeys(ledger)
    .filter(({ keyID }) => keyIDs.has(keyID))
    .reduce((current, key) => revoke(current, key, now, 'it was asked for').ledger, ledger);
}
