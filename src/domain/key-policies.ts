import type { Lifecycle } from './situation.ts';
import { pruneHistory, recordDeletionPolicy, recordDelivery, recordIssuer } from './record-policies.ts';
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
import type { Change } from './transition.ts';

/** A reason to change the ledger now, or `undefined`. */
export type Policy = (lifecycle: Lifecycle) => Change | undefined;

/** In this order the first that applies wins; then the chain is asked again, until none applies. */
export const policies: readonly Policy[] = [
  // A revoked key that does not sign leaves at once; one that signs leaves when another one can sign, or after 20 s.
  revokeIdleKey,
  revokeSigningKey,
  forgetRevocation,
  recordAbsence,
  // A key counts as published while every ready replica is observed serving it.
  forgetPublication,
  recordPublication,
  // With no signing key, a served one signs at once.
  activateWithoutPredecessor,
  // A rotation that is under way answers a new request; a next key of a wrong size gives way.
  answerWithNextKey,
  discardNextKey,
  // The rotation: published long enough, due, permitted.
  activateNextKey,
  // The old key retires `overlap` after the tool was given the new one.
  startOverlap,
  followOverlap,
  retire,
  // What the ledger remembers of the registration.
  recordIssuer,
  recordDelivery,
  recordDeletionPolicy,
  pruneHistory,
];
