import { type Duration, type Instant, minute, second } from './duration.ts';
import { awaitsFetch, notFetchedTime } from './fetches.ts';
import { generationFault, causeForNewKey, staleSeals } from './key-generation.ts';
import {
  type Cause,
  type Change,
  type Ledger,
  type LedgerKey,
  type Transition,
  activeKey,
  keysIn,
  liveKeys,
  nextKey,
} from './ledger.ts';
import { awaitsAcknowledgement, isClockSkewed } from './preconditions.ts';
import { policies } from './key-policies.ts';
import type { Fault, Lifecycle } from './situation.ts';
import {
  activationTime,
  blockedPoll,
  isRotationHeld,
  preparationTime,
  publishedOverlap,
  revocationGrace,
} from './timing.ts';

/** The next ledger, what is needed to continue, and when to check again. */
export interface Plan {
  /** The ledger to write if there are transitions; its serial is already raised. */
  readonly ledger: Ledger;
  readonly transitions: readonly Transition[];
  /** A key pair to generate, once nothing is left to write. */
  readonly generate?: { readonly cause: Cause; readonly size: number };
  /** Why a key pair that is needed is not generated. */
  readonly generationFault?: Fault;
  /** Keys to reseal under the present key-encryption key, once nothing is left to write. */
  readonly reseal: readonly string[];
  /** When a step may be due, or a blocked one is checked again. */
  readonly nextCheckAt?: Instant;
}

/**
 * (registration, ledger, observations, now) → new ledger. Pure: the same lifecycle gives the same plan, and the plan for the
 * ledger that was written continues it. A key that cannot be read or decrypted is never replaced because of that.
 */
export function plan(lifecycle: Lifecycle): Plan {
  const transitions: Transition[] = [];
  let current = lifecycle;
  for (let change = nextChange(current); change; change = nextChange(current)) {
    transitions.push(...change.transitions);
    current = { ...current, ledger: change.ledger };
  }
  const { ledger } = current;
  const cause = causeForNewKey(current);
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
  // Before the first key there is no ledger to change.
  if (lifecycle.ledger.highestRevision === 0) return undefined;
  for (const policy of policies) {
    const change = policy(lifecycle);
    if (change) return change;
  }
  return undefined;
}

/** How soon after its creation a key is normally served; until then, its absence is not reported. */
const publicationTime: Duration = 4 * second;

/** Until when the absence of a new key is not reported; `undefined` if it is served, or if the clock was set back. */
function newUntil({ createdAt, publishedAt, keyID }: LedgerKey, { observation, now }: Lifecycle): Instant | undefined {
  const until = createdAt + publicationTime;
  if (publishedAt !== undefined || observation.servedKeyIDs.has(keyID)) return undefined;
  return createdAt <= now && now < until ? until : undefined;
}

/** Whether a key of the ledger is about to be published, so that the status will change in a moment. */
export function hasNewKey(ledger: Ledger, lifecycle: Lifecycle): boolean {
  return liveKeys(ledger).some((key) => newUntil(key, lifecycle) !== undefined);
}

/** A step that waits for replicas needs no time here: it is checked when their answers change. */
function nextCheckAt(lifecycle: Lifecycle, fault: Fault | undefined): Instant | undefined {
  const { registration, ledger, observation, delivery, limits, now } = lifecycle;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  const isServed = (keyID: string): boolean => observation.servedKeyIDs.has(keyID);
  const due: (Instant | undefined)[] = [];
  if (active?.revocationSeenAt !== undefined) due.push(active.revocationSeenAt + revocationGrace);
  if (!registration.suspend) due.push(...keysIn(ledger, 'Retiring').map(({ retireAt }) => retireAt));
  // A step that the spec blocks waits for a change of the spec, not for a time.
  if (active && !isRotationHeld(lifecycle)) {
    if (!next) due.push(preparationTime(active, registration));
    else if (!awaitsAcknowledgement(lifecycle, next)) {
      const time = activationTime(next, active, registration, now);
      // A fetch enqueues the registration.
      const mayBeDue = isServed(next.keyID) && !awaitsFetch(lifecycle, next);
      if (time !== undefined && (time > now || mayBeDue)) due.push(time);
    }
  }
  due.push(...liveKeys(ledger).map((key) => newUntil(key, lifecycle)));
  const notFetched = notFetchedTime(lifecycle);
  if (notFetched !== undefined && notFetched > now) due.push(notFetched);
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
  // Secrets are not watched: only a check finds a repair.
  if ((undelivered && (!active || isServed(active.keyID))) || fault) due.push(now + blockedPoll);
  const times = due.flatMap((time) => (time === undefined ? [] : time > now ? time : now + blockedPoll));
  return times.length > 0 ? Math.min(...times) : undefined;
}
