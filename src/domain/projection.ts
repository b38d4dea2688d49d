import type { KeyConditionType, RegistrationConditionType } from '../api/conditions.ts';
import { apiVersion, ltiKeyName, registrationLabel } from '../api/names.ts';
import type { Condition } from '../api/ltikey.gen.ts';
import type { LtiKey, LtiRegistration } from '../api/objects.ts';
import { formatDuration, formatInstant, type Instant } from './duration.ts';
import { awaitsAcknowledgement, isClockSkewed } from './key-policies.ts';
import type { Plan } from './key-plan.ts';
import { isFinal } from './key-state.ts';
import { activeKey, keysIn, type Ledger, type LedgerKey, liveKeys, nextKey } from './ledger.ts';
import { revocationVerdict } from './revocation.ts';
import { windowFault } from './rotation-window.ts';
import type { Custody, Fault, Situation } from './situation.ts';
import { activationTime, nextRotationTime, permittedTime, timingFault, toleratedClockSkew } from './timing.ts';

/** The ledger's public face: what LtiKeys and the status of the registration say of it. */

type RegistrationStatus = NonNullable<LtiRegistration['status']>;
type KeyStatus = NonNullable<LtiKey['status']>;
export type Verdict = {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
};

/** The LtiKey that shows one key of the ledger. */
export function keyObject(
  ledger: Ledger,
  key: LedgerKey,
  custody: Custody | undefined,
  previous: KeyStatus | undefined,
  now: Instant,
): LtiKey {
  const verdicts: Partial<Record<KeyConditionType, Verdict>> =
    isFinal(key.state) || !custody ? {} : { KeyMaterialAvailable: custodyVerdict(custody) };
  return {
    apiVersion,
    kind: 'LtiKey',
    metadata: {
      name: ltiKeyName(ledger.registration, key.revision),
      namespace: ledger.namespace,
      labels: { [registrationLabel]: ledger.registration },
    },
    spec: {
      registrationRef: { name: ledger.registration },
      revision: key.revision,
      keyID: key.keyID,
      algorithm: key.algorithm,
      size: key.size,
      publicJWK: key.publicJWK,
    },
    status: {
      state: key.state,
      ...times(key, ['createdAt', 'publishedAt', 'activatedAt', 'retireAt', 'retiredAt', 'revokedAt']),
      ...(custody?.kekID === undefined ? {} : { kekID: custody.kekID }),
      ledgerSerial: ledger.serial,
      conditions: conditions(verdicts, previous?.conditions, undefined, now),
    },
  };
}

/** What was learned while the registration's state was brought about, besides the situation the plan was made from. */
export interface Outcome {
  readonly situation: Situation;
  readonly plan: Plan;
  readonly deliveryFault?: Fault;
  readonly jwksURL?: string;
}

export function registrationStatus(outcome: Outcome, previous: RegistrationStatus | undefined): RegistrationStatus {
  const { situation, jwksURL } = outcome;
  const { registration, now } = situation;
  const { ledger } = outcome.plan;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  const rotation = active && rotationDate(situation, active, next);
  const activateAfter = active && next && activationTime(next, active, registration, now);
  return {
    observedGeneration: registration.generation,
    conditions: conditions(registrationVerdicts(outcome), previous?.conditions, registration.generation, now),
    ...(active
      ? {
          activeKey: {
            name: ltiKeyName(registration.name, active.revision),
            keyID: active.keyID,
            ...times(active, ['createdAt', 'activatedAt']),
          },
        }
      : {}),
    ...(next
      ? {
          nextKey: {
            name: ltiKeyName(registration.name, next.revision),
            keyID: next.keyID,
            ...(activateAfter ? { activateAfter: formatInstant(activateAfter) } : {}),
          },
        }
      : {}),
    ...(jwksURL === undefined ? {} : { jwksURL }),
    ...(active && active.revision > 1
      ? { lastRotationTime: formatInstant(active.activatedAt ?? active.createdAt) }
      : {}),
    ...(rotation === undefined ? {} : { nextRotationTime: formatInstant(rotation) }),
    ...(ledger.observedRotationTrigger === undefined
      ? {}
      : { observedRotationTrigger: ledger.observedRotationTrigger }),
    ...(ledger.observedRotateRequest === undefined ? {} : { observedRotateRequest: ledger.observedRotateRequest }),
    ledgerSerial: ledger.serial,
  };
}

/** The status of a registration whose ledger cannot be used: what was known stays, and the fault says why. */
export function faultedStatus(
  generation: number,
  fault: Fault,
  previous: RegistrationStatus | undefined,
  now: Instant,
): RegistrationStatus {
  const signs = previous?.activeKey !== undefined;
  const bad = { reason: fault.reason, message: fault.message };
  const kept = (type: RegistrationConditionType, otherwise: Verdict): Verdict => {
    const before = previous?.conditions?.find((condition) => condition.type === type);
    return before ? { status: before.status, reason: before.reason, message: before.message } : otherwise;
  };
  const unknown: Verdict = { status: 'Unknown', ...bad };
  const verdicts: Partial<Record<RegistrationConditionType, Verdict>> = {
    Ready: signs ? kept('Ready', unknown) : { status: 'False', ...bad },
    Published: kept('Published', unknown),
    KeyMaterialAvailable: { status: 'False', ...bad },
    ActionRequired: kept('ActionRequired', { status: 'False', reason: 'NothingToDo', message: '' }),
    Reconciling: { status: 'False', ...bad },
    Stalled: { status: 'True', ...bad },
  };
  return {
    ...previous,
    observedGeneration: generation,
    conditions: conditions(verdicts, previous?.conditions, generation, now),
  };
}

function registrationVerdicts(outcome: Outcome): Partial<Record<RegistrationConditionType, Verdict>> {
  const { situation, plan } = outcome;
  const active = activeKey(plan.ledger);
  const ready = readyVerdict(outcome, active);
  const stalled = stallOf(outcome);
  const awaited = liveKeys(plan.ledger).find((key) => key.publishedAt === undefined);
  const revoked = keysIn(plan.ledger, 'Revoked')
    .toSorted((a, b) => (a.revokedAt ?? 0) - (b.revokedAt ?? 0))
    .at(-1);
  const revocation = revoked && revocationVerdict(situation.registration.platform ?? 'Other', revoked, situation.now);
  return {
    Ready: ready,
    Published: publishedVerdict(situation, active),
    KeyMaterialAvailable: materialVerdict(outcome),
    ActionRequired: actionVerdict(situation, plan.ledger),
    ...(revocation ? { RevocationEffective: revocation } : {}),
    Reconciling: stalled
      ? { status: 'False', reason: stalled.reason, message: 'waiting for the obstacle named by Stalled to go' }
      : awaited
        ? { status: 'True', reason: 'WaitingForPublication', message: notServed(situation, awaited) }
        : ready.status === 'True'
          ? settledVerdict(situation)
          : { ...ready, status: 'True' },
    Stalled: stalled
      ? { status: 'True', reason: stalled.reason, message: stalled.message }
      : { status: 'False', reason: 'NoObstacle', message: 'nothing stands in the way of rotation' },
  };
}

function readyVerdict({ situation, deliveryFault }: Outcome, active: LedgerKey | undefined): Verdict {
  const { registration, delivery } = situation;
  const no = (reason: string, message: string): Verdict => ({ status: 'False', reason, message });
  if (!active) return no('NoSigningKey', 'no key signs yet');
  const published = publishedVerdict(situation, active);
  if (published.status !== 'True') return published;
  if (deliveryFault) return no(deliveryFault.reason, deliveryFault.message);
  if (registration.deliverySecretName !== undefined && delivery.keyID !== active.keyID) {
    return no('NotDelivered', `Secret ${registration.deliverySecretName} does not hold key ${active.keyID} yet`);
  }
  return { status: 'True', reason: 'KeySigns', message: `key ${active.keyID} signs and every ready replica serves it` };
}

function publishedVerdict(situation: Situation, active: LedgerKey | undefined): Verdict {
  if (!active) return { status: 'False', reason: 'NoSigningKey', message: 'no key signs yet' };
  return situation.observation.servedKeyIDs.has(active.keyID)
    ? { status: 'True', reason: 'Served', message: 'every ready replica serves the signing key' }
    : { status: 'False', reason: 'NotServed', message: notServed(situation, active) };
}

function notServed({ observation }: Situation, key: LedgerKey): string {
  return `key ${key.keyID} is not served by every ready replica${observation.detail ? `: ${observation.detail}` : ''}`;
}

function materialVerdict({ situation, plan }: Outcome): Verdict {
  const fault = custodyFault(situation, plan.ledger) ?? situation.sealingFault;
  return fault
    ? { status: 'False', reason: fault.reason, message: fault.message }
    : { status: 'True', reason: 'KeysOpen', message: 'every sealed key opens and matches its public key' };
}

function custodyVerdict(custody: Custody): Verdict {
  return custody.opens
    ? { status: 'True', reason: 'KeysOpen', message: 'the sealed key opens and matches the public key' }
    : { status: 'False', reason: custody.reason, message: custody.message };
}

function actionVerdict(situation: Situation, ledger: Ledger): Verdict {
  const key = nextKey(ledger) ?? activeKey(ledger);
  if (!key || !awaitsAcknowledgement(situation, key)) {
    return { status: 'False', reason: 'NothingToDo', message: 'nobody has to do anything' };
  }
  const name = ltiKeyName(ledger.registration, key.revision);
  return {
    status: 'True',
    reason: 'AcknowledgementRequired',
    message: `paste the public key of LtiKey ${name} at the platform (kubectl get ltikey ${name} -n ${ledger.namespace} -o jsonpath='{.spec.publicJWK}'), then set spec.acknowledgedKeyID: ${key.keyID}`,
  };
}

function settledVerdict({ registration }: Situation): Verdict {
  return registration.suspend
    ? { status: 'False', reason: 'Suspended', message: 'spec.suspend is true: no rotation starts and nothing retires' }
    : { status: 'False', reason: 'Settled', message: 'nothing is under way' };
}

/** What only somebody's change can clear, the gravest first. */
function stallOf({ situation, plan, deliveryFault }: Outcome): Fault | undefined {
  const { registration, limits, observation, clockSkew } = situation;
  if (isClockSkewed(situation)) {
    return {
      reason: 'ClockSkewed',
      message: `the operator's clock and the API server's differ by ${formatDuration(Math.abs(clockSkew))}, more than ${formatDuration(toleratedClockSkew)}: nothing is activated or retired until they agree; check time synchronization on the node`,
    };
  }
  return (
    plan.generationFault ??
    custodyFault(situation, plan.ledger) ??
    deliveryFault ??
    timingFault(registration, limits, observation.cacheLifetime) ??
    windowFault(registration.rotationWindows ?? [], situation.now)
  );
}

function custodyFault({ custody }: Situation, ledger: Ledger): Fault | undefined {
  for (const key of liveKeys(ledger)) {
    const kept = custody.get(key.keyID);
    if (kept && !kept.opens) return kept;
  }
  return undefined;
}

function rotationDate(situation: Situation, active: LedgerKey, next: LedgerKey | undefined): Instant | undefined {
  const { registration, now } = situation;
  if (registration.suspend) return undefined;
  const planned = next && activationTime(next, active, registration, now);
  return planned ?? permittedTime(registration, nextRotationTime(active, registration), now);
}

function times<Name extends 'createdAt' | 'publishedAt' | 'activatedAt' | 'retireAt' | 'retiredAt' | 'revokedAt'>(
  key: LedgerKey,
  names: readonly Name[],
): { readonly [_ in Name]?: string } {
  const present = names.flatMap((name) => (key[name] === undefined ? [] : [[name, formatInstant(key[name])]]));
  return Object.fromEntries(present) as { readonly [_ in Name]?: string };
}

/** Conditions in the order of `verdicts`; `lastTransitionTime` moves only when a status does. */
export function conditions(
  verdicts: Readonly<Partial<Record<string, Verdict>>>,
  previous: readonly Condition[] | undefined,
  generation: number | undefined,
  now: Instant,
): Condition[] {
  return Object.entries(verdicts).flatMap(([type, verdict]) => {
    if (!verdict) return [];
    const before = previous?.find((condition) => condition.type === type);
    const lastTransitionTime = before?.status === verdict.status ? before.lastTransitionTime : formatInstant(now);
    const message = verdict.message.slice(0, 2048);
    return [
      {
        type,
        status: verdict.status,
        ...(generation === undefined ? {} : { observedGeneration: generation }),
        lastTransitionTime,
        reason: verdict.reason,
        message,
      },
    ];
  });
}
