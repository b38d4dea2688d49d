import { type Duration, type Instant, minute, second } from './duration.ts';
import { awaitsAcknowledgement, isClockSkewed, isRotationHeld } from './gates.ts';
import { policies } from './key-policies.ts';
import { activeKey, type Cause, keysIn, type Ledger, liveKeys, nextKey } from './ledger.ts';
import { generationFault, neededRevision, staleSeals } from './needed-revision.ts';
import type { Fault, Lifecycle } from './situation.ts';
import { activationTime, preparationTime, publishedOverlap, revocationGrace } from './timing.ts';
import type { Change, Transition } from './transition.ts';

/** What becomes of the ledger now, what is missing for more, and when to look again. */
export interface Plan {
  /** The ledger to write in place of the present one where `transitions` is not empty, its serial already raised. */
  readonly ledger: Ledger;
  readonly transitions: readonly Transition[];
  /** A key pair to generate, once nothing is left to write. */
  readonly generate?: { readonly cause: Cause; readonly size: number };
  /** Why a key pair that is needed is not generated. */
  readonly generationFault?: Fault;
  /** Keys to seal anew, once nothing is left to write: they are sealed under another key-encryption key than the present. */
  readonly reseal: readonly string[];
  /** When something may be due or a blocked step is worth another look. */
  readonly nextCheckAt?: Instant;
}

/**
 * (registration, ledger, observations, now) → new ledger. Pure: the same lifecycle gives the same plan, and the plan of
 * what was written continues it. No step mints a key because something could not be read or opened.
 */
export function plan(lifecycle: Lifecycle): Plan {
  const transitions: Transition[] = [];
  let current = lifecycle;
  for (let change = nextChange(current); change; change = nextChange(current)) {
    transitions.push(...(change.besides ? [change.besides] : []), change.transition);
    current = { ...current, ledger: change.ledger };
  }
  const { ledger } = current;
  const cause = neededRevision(current);
  const fault = cause && generationFault(current, cause);
  const checkAt = nextCheckAt(current, fault);
  return {
    ledger: transitions.length > 0 ? { ...ledger, serial: lifecycle.ledger.serial + 1 } : ledger,
    transitions,
    reseal: transitions.length > 0 ? [] : staleSeals(current),
    ...(cause && !fault ? { generate: { cause, size: lifecycle.registration.keySize } } : {}),
    ...(fault ? { generationFault: fault } : {}),
    ...(checkAt === undefined ? {} : { nextCheckAt: checkAt }),
  };
}

function nextChange(lifecycle: Lifecycle): Change | undefined {
  // Before its first key there is no ledger to change.
  if (lifecycle.ledger.highestRevision === 0) return undefined;
  for (const policy of policies) {
    const change = policy(lifecycle);
    if (change) return change;
  }
  return undefined;
}

/**
 * Published keys are looked for soon after their creation, then ever less often; a clock that went back makes no haste. When the
 * sidecar beside the operator serves them is told (Reconciling.published); this is for the other replicas.
 */
function publicationPoll(age: Duration): Duration {
  return Math.min(5 * second, Math.max(second, Math.abs(age) / 4));
}

/** How soon a step that is due but held back, by a damaged ledger for one, is looked at again. */
export const blockedPoll: Duration = 30 * second;
/** How soon the operator asks again whether a revoked key is gone from everywhere. */
function absencePoll(age: Duration): Duration {
  return Math.min(minute, Math.max(second, Math.abs(age) / 4));
}

function nextCheckAt(lifecycle: Lifecycle, fault: Fault | undefined): Instant | undefined {
  const { registration, ledger, observation, delivery, limits, now } = lifecycle;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  const due: (Instant | undefined)[] = [];
  if (active?.revocationSeenAt !== undefined) due.push(active.revocationSeenAt + revocationGrace);
  if (!registration.suspend) due.push(...keysIn(ledger, 'Retiring').map(({ retireAt }) => retireAt));
  // What the registration itself holds back waits for a change of it, not for a time.
  if (active && !isRotationHeld(lifecycle)) {
    if (!next) due.push(preparationTime(active, registration));
    else if (!awaitsAcknowledgement(lifecycle, next)) due.push(activationTime(next, active, registration, now));
  }
  for (const key of liveKeys(ledger)) {
    if (observation.servedKeyIDs.has(key.keyID)) continue;
    if (key.publishedAt === undefined || key.state === 'Next') due.push(now + publicationPoll(now - key.createdAt));
    // A replica that has just started serves it in a moment.
    else if (key.state === 'Active') due.push(now + blockedPoll);
  }
  for (const key of keysIn(ledger, 'Revoked')) {
    if (key.absentAt === undefined) due.push(now + absencePoll(now - key.revokedAt!));
    else if (key.absentAt + observation.cacheLifetime > now) due.push(key.absentAt + observation.cacheLifetime);
  }
  for (const { leftAt } of ledger.deliveries) {
    if (leftAt !== undefined && delivery.leftovers.length > 0)
      due.push(leftAt + publishedOverlap(registration, limits));
  }
  if (isClockSkewed(lifecycle)) due.push(now + minute);
  // Secrets and KEKs are not watched: a repair is found by looking.
  const undelivered = registration.deliverySecretName !== undefined && delivery.keyID !== ledger.activeKeyID;
  if (undelivered || fault) due.push(now + blockedPoll);
  const times = due.flatMap((time) => (time === undefined ? [] : time > now ? time : now + blockedPoll));
  return times.length > 0 ? Math.min(...times) : undefined;
}
