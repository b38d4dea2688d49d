import type { Lifecycle } from './situation.ts';
import { pruneHistory, recordDeletionPolicy, recordDelivery, recordIssuer } from './bookkeeping-policies.ts';
import type { Change } from './ledger.ts';
import { forgetRevocation, recordAbsence, revokeIdleKey, revokeSigningKey } from './revocation-policies.ts';
import {
  activateNextKey,
  activateWithoutPredecessor,
  answerWithNextKey,
  discardNextKey,
  followOverlap,
  forgetPublication,
  recordPublication,
  startOverlap,
  retire,
} from './rotation-policies.ts';

/** One reason to change the ledger: the change that is due now, or `undefined`. */
export type Policy = (lifecycle: Lifecycle) => Change | undefined;

/** The first policy that applies wins; then the list is evaluated again, until none applies. */
export const policies: readonly Policy[] = [
  // A revoked key that does not sign leaves at once; one that signs leaves when another key can sign, or after 20 s.
  revokeIdleKey,
  revokeSigningKey,
  forgetRevocation,
  recordAbsence,
  // A key counts as published once every ready replica serves it; a next key no longer does when a replica is observed without it.
  forgetPublication,
  recordPublication,
  // Without a signing key, the next key signs as soon as it is served.
  activateWithoutPredecessor,
  // A rotation in progress answers a new request; a next key of the wrong size is discarded.
  answerWithNextKey,
  discardNextKey,
  // The rotation: published for long enough, due, permitted.
  activateNextKey,
  // The old key retires `overlap` after the new one was delivered to the tool.
  startOverlap,
  followOverlap,
  retire,
  // What the ledger records of the registration.
  recordIssuer,
  recordDelivery,
  recordDeletionPolicy,
  pruneHistory,
];
