import type { LtiRegistration } from '../api/objects.ts';
import { type Outcome, unknownRevokedEntries } from './conditions.ts';
import { type Decision, type Effect, isRefused } from './effects.ts';
import { deliveryEffects, deliveryFault, deliveryState, revokedIDs, summarizeDeliveries } from './delivery.ts';
import { decideDeleted, decideReplaced, isReplaced } from './deletion-decision.ts';
import { decideFaulty } from './fault-decision.ts';
import { revocationEffects } from './fault-effects.ts';
import { knownFetches } from './fetches.ts';
import { hasNewKey, plan, type Plan } from './key-plan.ts';
import { emptyLedger, type Ledger, liveKeys } from './ledger.ts';
import { ledgerFault } from './ledger-fault.ts';
import { type LedgerStep, ledgerStep } from './ledger-step.ts';
import { isShownPublished, ltiKeyEffects, stillPublished } from './ltikeys.ts';
import type { Registration } from './registration.ts';
import { withoutRevoked } from './revocation-policies.ts';
import { isFault, type Lifecycle, type Present, type Situation } from './situation.ts';
import { registrationStatus, type RegistrationStatus } from './status.ts';
import { blockedPoll, retryPoll } from './timing.ts';
import { refusalFault } from './verdict.ts';

/**
 * Computes everything to do for one registration from everything that is known about it. Pure: the same situation gives
 * the same decision. The effects are in the order in which they are carried out: what removes trust, the ledger, LtiKeys,
 * delivery; the status always comes last. The decision is repeated, with refused writes in the situation, until no effect is
 * left that was not refused.
 */
export function decide(situation: Situation): Decision {
  const { registration: reading, ledger, now } = situation;
  switch (reading.kind) {
    case 'unknown':
      return { effects: revocationEffects(situation, reading.last?.revokedKeyIDs), nextCheckAt: now + retryPoll };
    case 'gone':
      return decideDeleted(situation, reading);
    default: {
      const { registration } = reading;
      if (isFault(registration)) return decideFaulty(situation, reading, registration);
      // The issuer never changes once it is set, so this is a new object: the former one was deleted with deletionPolicy Delete.
      if (ledger.kind === 'present' && isReplaced(ledger.ledger, registration)) {
        return decideReplaced(situation, reading);
      }
      const fault = ledgerFault(situation, reading);
      if (fault) return decideFaulty(situation, reading, fault);
      return decideReadable(situation, reading, registration);
    }
  }
}

function lifecycleOf(
  situation: Situation,
  { status }: LtiRegistration,
  registration: Registration,
  ledger: Ledger,
): Lifecycle {
  const published = new Set(situation.ltiKeys.filter(isShownPublished).map(({ spec }) => spec.keyID));
  return {
    ...situation,
    registration,
    ledger,
    delivery: deliveryState(situation, registration.deliverySecretName),
    fetches: knownFetches(situation.fetches, status?.lastFetchTime, situation.now),
    unpublishedKeyIDs: new Set(liveKeys(ledger).flatMap(({ keyID }) => (published.has(keyID) ? [] : [keyID]))),
  };
}

function decideReadable(situation: Situation, { object }: Present, registration: Registration): Decision {
  const { namespace, name, refused, shared, jwksURL, now } = situation;
  const recorded = situation.ledger.kind === 'present' ? situation.ledger.ledger : emptyLedger(namespace, name);
  const lifecycle = lifecycleOf(situation, object, registration, recorded);
  // If the ledger cannot be written, only revocations proceed, because they wait for nothing.
  const planned: Plan = isRefused(situation, 'writeLedger')
    ? { ledger: withoutRevoked(recorded, registration.revokedKeyIDs, now), transitions: [], reseal: [] }
    : plan(lifecycle);
  const step = ledgerStep(situation, lifecycle, planned);
  const fault = deliveryFault(situation, registration.deliverySecretName);
  const refusal = refusalFault(refused);
  const revoked = revokedIDs(registration, step.ledger);
  const published = stillPublished(situation, revoked);
  const outcome: Outcome = {
    lifecycle,
    plan: { ...planned, ledger: step.ledger },
    ...(fault ? { deliveryFault: fault } : {}),
    ...(refusal ? { refusal } : {}),
    deliveries: summarizeDeliveries(situation, revoked),
    ...(published ? { stillPublished: published } : {}),
    unknownRevoked: unknownRevokedEntries(situation, registration, step.ledger),
    shared,
    ...(jwksURL === undefined ? {} : { jwksURL }),
  };
  const status = registrationStatus(outcome, object.status);
  const checks = [
    planned.nextCheckAt ?? Infinity,
    refusal ? now + retryPoll : Infinity,
    fault ? now + blockedPoll : Infinity,
  ];
  const nextCheckAt = Math.min(...checks);
  return {
    effects: readableEffects(situation, object, registration, recorded, step, revoked),
    ...(isStatusDue(situation, object, status, hasNewKey(step.ledger, lifecycle)) ? { status } : {}),
    ...(nextCheckAt === Infinity ? {} : { nextCheckAt }),
  };
}

function readableEffects(
  situation: Situation,
  object: LtiRegistration,
  registration: Registration,
  recorded: Ledger,
  { effect, ledger, keyMaterial }: LedgerStep,
  revoked: ReadonlySet<string>,
): readonly Effect[] {
  const step: readonly Effect[] = effect ? [effect] : [];
  if (recorded.highestRevision === 0 && situation.ltiKeys.length > 0) {
    return [...step, ...situation.ltiKeys.map((key): Effect => ({ kind: 'removeKey', key }))];
  }
  const keys = ltiKeyEffects(situation, ledger, keyMaterial);
  const delivery = deliveryEffects(situation, object, registration, ledger, revoked);
  return [...keys.urgent, ...delivery.urgent, ...step, ...keys.rest, ...delivery.rest];
}

/** A new registration gets its first status once its key exists and is served, which takes a moment. */
function isStatusDue(
  { generating }: Situation,
  { status: written }: LtiRegistration,
  { phase }: RegistrationStatus,
  soon: boolean,
): boolean {
  if (written?.conditions !== undefined || phase === 'Stalled') return true;
  return !soon && !(generating === true && phase === 'Pending');
}
