import { type Duration, type Instant, minute, second } from './duration.ts';
import { awaitsAcknowledgement, isClockSkewed, isRotationHeld } from './gates.ts';
import { policies } from './key-policies.ts';
import { activeKey, type Cause, keysIn, type Ledger, type LedgerKey, liveKeys, nextKey } from './ledger.ts';
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

/** So long after its creation a key that is not served yet is no news: it is published in a moment. */
const firstMoment: Duration = 4 * second;

/** Until when it is no news that the key is not served; `undefined` if it is, or the clock went back. */
function newUntil({ createdAt, publishedAt, keyID }: LedgerKey, { observation, now }: Lifecycle): Instant | undefined {
  const until = createdAt + firstMoment;
  if (publishedAt !== undefined || observation.servedKeyIDs.has(keyID)) return undefined;
  return createdAt <= now && now < until ? until : undefined;
}

/** Whether a key of the ledger is about to be published, so that the next look will tell something else. */
export function isFirstMoment(ledger: Ledger, lifecycle: Lifecycle): boolean {
  return liveKeys(ledger).some((key) => newUntil(key, lifecycle) !== undefined);
}

/** How soon a step that is due but held back, by a damaged ledger for one, is looked at again. */
export const blockedPoll: Duration = 30 * second;

/** What waits for replicas, to serve a key or to serve one no longer, is looked at when their answers change. */
function nextCheckAt(lifecycle: Lifecycle, fault: Fault | undefined): Instant | undefined {
  const { registration, ledger, observation, delivery, limits, now } = lifecycle;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  const isServed = (keyID: string): boolean => observation.servedKeyIDs.has(keyID);
  const due: (Instant | undefined)[] = [];
  if (active?.revocationSeenAt !== undefined) due.push(active.revocationSeenAt + revocationGrace);
  if (!registration.suspend) due.push(...keysIn(ledger, 'Retiring').map(({ retireAt }) => retireAt));
  // What the registration itself holds back waits for a change of it, not for a time.
  if (active && !isRotationHeld(lifecycle)) {
    if (!next) due.push(preparationTime(active, registration));
    else if (!awaitsAcknowledgement(lifecycle, next)) {
      const time = activationTime(next, active, registration, now);
      if (time !== undefined && (time > now || isServed(next.keyID))) due.push(time);
    }
  }
  due.push(...liveKeys(ledger).map((key) => newUntil(key, lifecycle)));
  for (const { absentAt } of keysIn(ledger, 'Revoked')) {
    if (absentAt !== undefined && absentAt + observation.cacheLifetime > now)
      due.push(absentAt + observation.cacheLifetime);
  }
  if (isClockSkewed(lifecycle)) due.push(now + minute);
  const undelivered = registration.deliverySecretName !== undefined && delivery.keyID !== ledger.activeKeyID;
  if (!undelivered && delivery.leftovers.length > 0) {
    const overlap = publishedOverlap(registration, limits);
    due.push(...ledger.deliveries.map(({ leftAt }) => (leftAt === undefined ? undefined : leftAt + overlap)));
  }
  // Secrets and KEKs are not watched: a repair is found by looking.
  if ((undelivered && (!active || isServed(active.keyID))) || fault) due.push(now + blockedPoll);
  const times = due.flatMap((time) => (time === undefined ? [] : time > now ? time : now + blockedPoll));
  return times.length > 0 ? Math.min(...times) : undefined;
}
