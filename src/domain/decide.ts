import type { LtiRegistration } from '../api/objects.ts';
import { type Decision, type Effect, announcementsOf } from './effects.ts';
import { deliveryEffects, deliveryFault, deliveryState } from './delivery.ts';
import { decideFaulty, ledgerFault, retryPoll } from './faulty.ts';
import { blockedPoll, isFirstMoment, plan, type Plan } from './key-plan.ts';
import { emptyLedger, type Ledger, liveKeys } from './ledger.ts';
import { isShownPublished, ltiKeyEffects } from './ltikeys.ts';
import { withKey } from './needed-revision.ts';
import type { Registration } from './registration.ts';
import { decideGone, removalEffects } from './removal.ts';
import { withoutRevoked } from './revocation-policies.ts';
import { type KeyMaterial, isFault, type Lifecycle, type RegistrationReading, type Situation } from './situation.ts';
import { registrationStatus, type RegistrationStatus } from './status.ts';

type Present = Extract<RegistrationReading, { kind: 'present' }>;

/**
 * Everything that is to be done about one registration, from everything that is known of it. Pure: the same situation gives
 * the same decision. The effects are in the order in which they are carried out: what takes trust away, the ledger, LtiKeys,
 * delivery; the status comes last, always. A decision is made again, with the refusals in the situation, until no effect is
 * left that was not refused.
 */
export function decide(situation: Situation): Decision {
  const { registration: reading, ledger, now } = situation;
  switch (reading.kind) {
    case 'unknown':
      return { effects: [], nextCheckAt: now + retryPoll };
    case 'gone':
      return decideGone(situation, reading.last);
    default: {
      const { registration } = reading;
      if (isFault(registration)) return decideFaulty(situation, reading, registration);
      // Only another object can have another issuer: the former one was deleted and wanted its keys deleted.
      if (ledger.kind === 'present' && isReplaced(ledger.ledger, registration)) {
        return { effects: removalEffects(situation), nextCheckAt: now + retryPoll };
      }
      const fault = ledgerFault(situation, reading);
      if (fault) return decideFaulty(situation, reading, fault);
      return decideReadable(situation, reading, registration);
    }
  }
}

function isReplaced(ledger: Ledger, { issuer }: Registration): boolean {
  return ledger.deletionPolicy === 'Delete' && ledger.issuer !== undefined && ledger.issuer !== issuer;
}

/** What the lifecycle of a registration depends on. */
export function lifecycleOf(situation: Situation, registration: Registration, ledger: Ledger): Lifecycle {
  const { shown, keyMaterial, observation, imports, sealingKeyID, sealingFault, clockSkew, limits, now } = situation;
  const published = new Set(shown.filter(isShownPublished).map(({ spec }) => spec.keyID));
  return {
    registration,
    ledger,
    keyMaterial,
    observation,
    delivery: deliveryState(situation, registration.deliverySecretName),
    withdrawnKeyIDs: new Set(liveKeys(ledger).flatMap(({ keyID }) => (published.has(keyID) ? [] : [keyID]))),
    ...(imports ? { imports } : {}),
    ...(sealingKeyID === undefined ? {} : { sealingKeyID }),
    ...(sealingFault ? { sealingFault } : {}),
    clockSkew,
    limits,
    now,
  };
}

function decideReadable(situation: Situation, { object }: Present, registration: Registration): Decision {
  const { namespace, name, refused, now } = situation;
  const recorded = situation.ledger.kind === 'present' ? situation.ledger.ledger : emptyLedger(namespace, name);
  const lifecycle = lifecycleOf(situation, registration, recorded);
  // What cannot be recorded is not done, but for revocations, which wait for nothing.
  const planned: Plan = refused.has('writeLedger')
    ? { ledger: withoutRevoked(recorded, registration.revokedKeyIDs, now), transitions: [], reseal: [] }
    : plan(lifecycle);
  const { effect, ledger, keyMaterial } = ledgerStep(situation, lifecycle, planned);
  const keys = ltiKeyEffects(situation, ledger, keyMaterial);
  const delivery = deliveryEffects(situation, object, registration, ledger);
  // What a removal leaves for last goes before anything begins anew: it tells of a newer ledger than the first one.
  const remains =
    recorded.highestRevision > 0 ? [] : situation.shown.map((key): Effect => ({ kind: 'removeKey', key }));
  const anew = [...keys.urgent, ...delivery.urgent, ...(effect ? [effect] : []), ...keys.rest, ...delivery.rest];
  const effects = remains.length > 0 ? [...(effect?.kind === 'generate' ? [effect] : []), ...remains] : anew;
  const fault = deliveryFault(situation, registration.deliverySecretName);
  const outcome = {
    lifecycle,
    plan: { ...planned, ledger },
    ...(fault ? { deliveryFault: fault } : {}),
    refusals: [...refused.values()],
    unknownRevoked: unknownRevoked(situation, registration, ledger),
    shared: situation.shared,
    ...(situation.jwksURL === undefined ? {} : { jwksURL: situation.jwksURL }),
  };
  const checks = [
    planned.nextCheckAt,
    ...(refused.size > 0 ? [now + retryPoll] : []),
    ...(fault ? [now + blockedPoll] : []),
  ];
  const nextCheckAt = checks.reduce((a, b) => (a === undefined || (b !== undefined && b < a) ? b : a), undefined);
  const status = registrationStatus(outcome, object.status);
  return {
    effects,
    ...(isStatusDue(situation, object, status, isFirstMoment(ledger, lifecycle)) ? { status } : {}),
    ...(nextCheckAt === undefined ? {} : { nextCheckAt }),
  };
}

/** A new registration whose key will be there, and served, in a moment gets its first status then. */
function isStatusDue(
  { generating }: Situation,
  { status: shown }: LtiRegistration,
  { phase }: RegistrationStatus,
  soon: boolean,
): boolean {
  if (shown?.conditions !== undefined || phase === 'Stalled') return true;
  return !soon && !(generating === true && phase === 'Pending');
}

interface LedgerStep {
  readonly effect?: Effect;
  /** As it is once `effect` was carried out. */
  readonly ledger: Ledger;
  readonly keyMaterial: ReadonlyMap<string, KeyMaterial>;
}

/** What is written to the ledger now: what the plan changes, or else the key pair that it needs, or else new seals. */
function ledgerStep(situation: Situation, lifecycle: Lifecycle, planned: Plan): LedgerStep {
  const { pair, keyMaterial, generating } = situation;
  const { generate, transitions, reseal } = planned;
  const create = lifecycle.ledger.highestRevision === 0;
  const write = (ledger: Ledger, more: { pair?: boolean; reseal?: readonly string[] } = {}): Effect => ({
    kind: 'writeLedger',
    ledger,
    create,
    pair: more.pair ?? false,
    reseal: more.reseal ?? [],
    ...(more.pair && generate ? { cause: generate.cause } : {}),
    reasons: more.pair ? [generate!.cause] : more.reseal ? ['KeysResealed'] : transitions.map(({ reason }) => reason),
    announcements: announcementsOf(transitions),
  });
  if (transitions.length > 0) return { effect: write(planned.ledger), ledger: planned.ledger, keyMaterial };
  if (generate) {
    const { cause, size } = generate;
    const fits = cause === 'Import' || (pair?.facts.size === size && pair.kekID === situation.sealingKeyID);
    if (pair && fits) {
      const ledger = withKey(lifecycle, pair.facts, cause);
      const opens: KeyMaterial = { opens: true, kekID: pair.kekID };
      return {
        effect: write(ledger, { pair: true }),
        ledger,
        keyMaterial: new Map([...keyMaterial, [pair.facts.keyID, opens]]),
      };
    }
    const effect: Effect = { kind: 'generate', size, urgent: cause === 'Revocation' };
    return { ...(generating ? {} : { effect }), ledger: planned.ledger, keyMaterial };
  }
  if (reseal.length > 0) {
    const ledger = { ...planned.ledger, serial: planned.ledger.serial + 1 };
    return { effect: write(ledger, { reseal }), ledger, keyMaterial };
  }
  return { ledger: planned.ledger, keyMaterial };
}

/** Somebody who mistypes an ID in an emergency must not think that it is done. */
function unknownRevoked({ shown }: Situation, registration: Registration, ledger: Ledger): readonly number[] {
  if (ledger.highestRevision === 0) return [];
  const known = new Set([...ledger.keys.map(({ keyID }) => keyID), ...shown.map(({ spec }) => spec.keyID)]);
  return [...registration.revokedKeyIDs].flatMap((keyID, index) => (known.has(keyID) ? [] : [index]));
}
