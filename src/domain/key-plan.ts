import { type Duration, type Instant, minute, second } from './duration.ts';
import { addKey, activeKey, type Cause, type KeyFacts, keysIn, type Ledger, liveKeys, nextKey } from './ledger.ts';
import {
  answered,
  awaitsAcknowledgement,
  isClockSkewed,
  isRotationHeld,
  neededRevision,
  policies,
} from './key-policies.ts';
import type { Fault, Situation } from './situation.ts';
import { activationTime, preparationTime, revocationGrace } from './timing.ts';
import type { Transition } from './transition.ts';

/** The decision for one situation: what to write, what to make, when to look again. */
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
 * (registration, ledger, observations, now) → new ledger. Pure: the same situation gives the same plan, and the plan of
 * what was written continues it. No step mints a key because something could not be read or opened.
 */
export function plan(situation: Situation): Plan {
  const transitions: Transition[] = [];
  let current = situation;
  for (let change = nextChange(current); change; change = nextChange(current)) {
    transitions.push(...(change.besides ? [change.besides] : []), change.transition);
    current = { ...current, ledger: change.ledger };
  }
  const { ledger } = current;
  const cause = neededRevision(current);
  const fault = cause && generationFault(current, cause);
  const checkAt = nextCheckAt(current);
  return {
    ledger: transitions.length > 0 ? { ...ledger, serial: situation.ledger.serial + 1 } : ledger,
    transitions,
    reseal: transitions.length > 0 ? [] : staleSeals(current),
    ...(cause && !fault ? { generate: { cause, size: situation.registration.keySize } } : {}),
    ...(fault ? { generationFault: fault } : {}),
    ...(checkAt === undefined ? {} : { nextCheckAt: checkAt }),
  };
}

/** The ledger with the key pair that a plan asked for. The new revision answers whatever asked for a rotation so far. */
export function withKey(situation: Situation, facts: KeyFacts, cause: Cause): Ledger {
  const { registration, ledger, now } = situation;
  const { rotationOwed: _, ...settled } = answered(situation, ledger);
  const serial = ledger.serial + 1;
  if (ledger.highestRevision > 0) return { ...addKey(settled, facts, cause, now), serial };
  const names = registration.deliverySecretName === undefined ? [] : [registration.deliverySecretName];
  const first = { ...settled, serial, deletionPolicy: registration.deletionPolicy, deliverySecretNames: names };
  return withVerifyOnlyKeys(situation, addKey(first, facts, cause, now));
}

/** Keys of a former system join the first ledger as if they were retiring; those whose time is over stay away. */
function withVerifyOnlyKeys({ imports, now }: Situation, ledger: Ledger): Ledger {
  let current = ledger;
  for (const key of imports?.verifyOnly ?? []) {
    const taken = current.keys.some(({ keyID }) => keyID === key.keyID);
    if (key.until <= now || taken) continue;
    const added = addKey(current, key, 'Import', now);
    const keys = added.keys.map((row) =>
      row.keyID === key.keyID
        ? { ...row, state: 'Retiring' as const, verifyOnly: true as const, retireAt: key.until }
        : row,
    );
    current = { ...added, keys };
  }
  return current;
}

function nextChange(situation: Situation): ReturnType<(typeof policies)[number]> {
  // Before its first key there is no ledger to change.
  if (situation.ledger.highestRevision === 0) return undefined;
  for (const policy of policies) {
    const change = policy(situation);
    if (change) return change;
  }
  return undefined;
}

/** Keys that open and are sealed under another key-encryption key than the one that seals now. */
export function staleSeals({
  ledger,
  custody,
  sealingKeyID,
}: Pick<Situation, 'ledger' | 'custody' | 'sealingKeyID'>): string[] {
  if (sealingKeyID === undefined) return [];
  return liveKeys(ledger).flatMap(({ keyID }) => {
    const kept = custody.get(keyID);
    return kept?.opens && kept.kekID !== sealingKeyID ? [keyID] : [];
  });
}

/** A ledger with a key that does not open may be a damaged one: nothing is added to it until it heals. */
function generationFault(situation: Situation, cause: Cause | undefined): Fault | undefined {
  const { ledger, registration, custody, sealingFault, imports } = situation;
  if (cause === 'Import' && imports?.signing && 'reason' in imports.signing) return imports.signing;
  for (const key of liveKeys(ledger)) {
    const kept = custody.get(key.keyID);
    if (kept && !kept.opens && !registration.revokedKeyIDs.has(key.keyID)) return kept;
  }
  return sealingFault;
}

/** Published keys are looked for soon after their creation, then ever less often; a clock that went back makes no haste. */
function publicationPoll(age: Duration): Duration {
  return Math.min(5 * second, Math.max(second / 4, Math.abs(age) / 4));
}

/** How soon a step that is due but held back, by a damaged ledger for one, is looked at again. */
const blockedPoll: Duration = 30 * second;

function nextCheckAt(situation: Situation): Instant | undefined {
  const { registration, ledger, observation, delivery, now } = situation;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  const due: (Instant | undefined)[] = [];
  if (active?.revocationSeenAt !== undefined) due.push(active.revocationSeenAt + revocationGrace);
  if (!registration.suspend) due.push(...keysIn(ledger, 'Retiring').map(({ retireAt }) => retireAt));
  // What the registration itself holds back waits for a change of it, not for a time.
  if (active && !isRotationHeld(situation)) {
    if (!next) due.push(preparationTime(active, registration));
    else if (!awaitsAcknowledgement(situation, next)) due.push(activationTime(next, active, registration, now));
  }
  for (const key of liveKeys(ledger)) {
    if (observation.servedKeyIDs.has(key.keyID)) continue;
    if (key.publishedAt === undefined || key.state === 'Next') due.push(now + publicationPoll(now - key.createdAt));
    // A replica that has just started serves it in a moment.
    else if (key.state === 'Active') due.push(now + blockedPoll);
  }
  if (isClockSkewed(situation)) due.push(now + minute);
  // Secrets and KEKs are not watched: a repair is found by looking.
  const undelivered = registration.deliverySecretName !== undefined && delivery.keyID !== ledger.activeKeyID;
  if (undelivered || generationFault(situation, neededRevision(situation))) due.push(now + blockedPoll);
  const times = due.flatMap((time) => (time === undefined ? [] : time > now ? time : now + blockedPoll));
  return times.length > 0 ? Math.min(...times) : undefined;
}
