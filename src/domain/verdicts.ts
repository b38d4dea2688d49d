import type { RegistrationConditionType } from '../api/conditions.ts';
import { ltiKeyName } from '../api/names.ts';
import type { Verdict } from './condition.ts';
import { formatInstant } from './duration.ts';
import { awaitsAcknowledgement, isClockSkewed } from './gates.ts';
import type { Plan } from './key-plan.ts';
import { activeKey, keysIn, type Ledger, type LedgerKey, liveKeys, nextKey } from './ledger.ts';
import { clockFault, keyMaterialFault } from './needed-revision.ts';
import { revocationVerdict } from './platforms.ts';
import { windowFault } from './rotation-window.ts';
import type { Fault, Lifecycle, Refusal } from './situation.ts';
import { activationTime, timingFault } from './timing.ts';

/** What the conditions of a registration with a readable ledger say. */

export interface Outcome {
  readonly lifecycle: Lifecycle;
  /** Its `ledger` is what LtiKeys show. */
  readonly plan: Plan;
  readonly deliveryFault?: Fault;
  readonly refusals?: readonly Refusal[];
  /** Entries of spec.revokedKeyIDs that name no key, by their index. */
  readonly unknownRevoked?: readonly number[];
  /** Key ID → other registrations of the namespace that the same key signs for. */
  readonly shared?: ReadonlyMap<string, readonly string[]>;
  readonly jwksURL?: string;
}

export type RegistrationVerdicts = Partial<Record<RegistrationConditionType, Verdict>>;

export function registrationVerdicts(outcome: Outcome): RegistrationVerdicts {
  const { lifecycle, plan } = outcome;
  const active = activeKey(plan.ledger);
  const ready = readyVerdict(outcome, active);
  const stalled = stallOf(outcome);
  const awaited = liveKeys(plan.ledger).find((key) => key.publishedAt === undefined);
  const revocation = revocationOf(outcome);
  return {
    Ready: ready,
    Published: publishedVerdict(lifecycle, active),
    KeyMaterialAvailable: materialVerdict(outcome),
    ActionRequired: actionVerdict(outcome),
    ...(revocation ? { RevocationEffective: revocation } : {}),
    Reconciling: stalled
      ? { status: 'False', reason: stalled.reason, message: 'blocked; see the Stalled condition' }
      : plan.generate
        ? { status: 'True', reason: 'GeneratingKey', message: generating(plan.generate) }
        : awaited
          ? { status: 'True', reason: 'WaitingForPublication', message: notServed(lifecycle, awaited) }
          : ready.status === 'True'
            ? settledVerdict(lifecycle, plan.ledger)
            : { ...ready, status: 'True' },
    Stalled: stalled
      ? { status: 'True', reason: stalled.reason, message: stalled.message }
      : { status: 'False', reason: 'NotStalled', message: 'nothing blocks rotation' },
  };
}

function generating({ cause, size }: NonNullable<Plan['generate']>): string {
  return `generating a key pair of ${size} bits (${cause})`;
}

/** What somebody has to change at the API server before the operator can go on. */
export function refusalFault([refusal, ...others]: readonly Refusal[]): Fault | undefined {
  if (!refusal) return undefined;
  const { verb, object, because } = refusal;
  const more = others.length > 0 ? ` (and ${others.length} more)` : '';
  const message = `the operator cannot ${verb} ${object}${more}, because the API server rejects the request: ${because}. The operator retries and continues with everything else. Check RBAC, quotas, admission policies and whether the object is immutable`;
  return { reason: 'WriteRefused', message };
}

function readyVerdict({ lifecycle, deliveryFault }: Outcome, active: LedgerKey | undefined): Verdict {
  const { registration, delivery } = lifecycle;
  const no = ({ reason, message }: Fault): Verdict => ({ status: 'False', reason, message });
  if (!active) return no({ reason: 'NoSigningKey', message: 'the registration has no signing key' });
  const published = publishedVerdict(lifecycle, active);
  if (published.status !== 'True') return published;
  if (deliveryFault) return no(deliveryFault);
  if (registration.deliverySecretName !== undefined && delivery.keyID !== active.keyID) {
    const message = `delivery Secret ${registration.deliverySecretName} does not hold signing key ${active.keyID} yet`;
    return no({ reason: 'DeliveryPending', message });
  }
  return {
    status: 'True',
    reason: 'SigningKeyReady',
    message: `key ${active.keyID} signs, and every ready replica serves it`,
  };
}

function publishedVerdict(lifecycle: Lifecycle, active: LedgerKey | undefined): Verdict {
  if (!active) return { status: 'False', reason: 'NoSigningKey', message: 'the registration has no signing key' };
  return lifecycle.observation.servedKeyIDs.has(active.keyID)
    ? { status: 'True', reason: 'ServedByAllReplicas', message: 'every ready replica serves the signing key' }
    : { status: 'False', reason: 'NotServedByAllReplicas', message: notServed(lifecycle, active) };
}

function notServed({ observation }: Lifecycle, key: LedgerKey): string {
  return `key ${key.keyID} is not served by every ready replica${observation.detail ? `: ${observation.detail}` : ''}`;
}

function materialVerdict({ lifecycle, plan }: Outcome): Verdict {
  const fault = keyMaterialFault(lifecycle, liveKeys(plan.ledger)) ?? lifecycle.sealingFault;
  return fault
    ? { status: 'False', reason: fault.reason, message: fault.message }
    : {
        status: 'True',
        reason: 'KeysDecryptable',
        message: 'every sealed private key can be decrypted and matches its public key',
      };
}

function actionVerdict({ lifecycle, plan: { ledger }, unknownRevoked = [] }: Outcome): Verdict {
  const key = nextKey(ledger) ?? activeKey(ledger);
  if (key && awaitsAcknowledgement(lifecycle, key)) {
    const name = ltiKeyName(ledger.registration, key.revision);
    return {
      status: 'True',
      reason: 'AcknowledgementRequired',
      message: `paste the public key of LtiKey ${name} at the platform (kubectl get ltikey ${name} -n ${ledger.namespace} -o jsonpath='{.spec.publicJWK}'), then set spec.acknowledgedKeyID to ${key.keyID}`,
    };
  }
  return unknownRevokedVerdict(unknownRevoked) ?? noAction;
}

export const noAction: Verdict = { status: 'False', reason: 'NoActionRequired', message: 'no action is required' };

export function unknownRevokedVerdict(indexes: readonly number[]): Verdict | undefined {
  if (indexes.length === 0) return undefined;
  const fields = indexes.map((index) => `spec.revokedKeyIDs[${index}]`).join(', ');
  const message = `${fields}: the registration has no such key, so the entry revokes nothing. Copy the key ID from the KEY ID column of kubectl get ltikeys, or remove the entry`;
  return { status: 'True', reason: 'UnknownRevokedKeyID', message };
}

/** Of several revoked keys the one that is farthest from being refused. */
function revocationOf({ lifecycle, plan, shared }: Outcome): Verdict | undefined {
  const { observation, registration, now } = lifecycle;
  const severity = ['RevokedKeyStillServed', 'RevocationPending', 'RevocationEffective'];
  return keysIn(plan.ledger, 'Revoked')
    .toSorted((a, b) => (b.revokedAt ?? 0) - (a.revokedAt ?? 0))
    .map(({ keyID, absentAt }): Verdict => {
      const unasked = absentAt === undefined ? 'no replica was checked since the revocation' : undefined;
      const stillServed = observation.stillServed.get(keyID) ?? unasked;
      const { cacheLifetime } = observation;
      const platform = registration.platform ?? 'Other';
      const verdict = revocationVerdict({ platform, keyID, absentAt, cacheLifetime, stillServed, now });
      const others = shared?.get(keyID) ?? [];
      if (others.length === 0) return verdict;
      const also = `; the same key is in use by ${others.map((name) => `registration ${name}`).join(', ')}: revoke it there as well`;
      return { ...verdict, message: verdict.message + also };
    })
    .toSorted((a, b) => severity.indexOf(a.reason) - severity.indexOf(b.reason))[0];
}

function settledVerdict(lifecycle: Lifecycle, ledger: Ledger): Verdict {
  const { registration, now } = lifecycle;
  if (registration.suspend) {
    return {
      status: 'False',
      reason: 'Suspended',
      message: 'spec.suspend is true: no rotation starts and no key retires',
    };
  }
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  const from = active && next && activationTime(next, active, registration, now);
  if (from === undefined) return { status: 'False', reason: 'UpToDate', message: 'no operation in progress' };
  const message = `key ${next!.keyID} is published and will sign from ${formatInstant(from)}`;
  return { status: 'False', reason: 'WaitingForActivation', message };
}

/** What only somebody's change can clear, the gravest first. */
function stallOf({ lifecycle, plan, deliveryFault, refusals = [] }: Outcome): Fault | undefined {
  const { registration, limits, observation, clockSkew, now } = lifecycle;
  return (
    refusalFault(refusals) ??
    (isClockSkewed(lifecycle) ? clockFault(clockSkew) : undefined) ??
    plan.generationFault ??
    keyMaterialFault(lifecycle, liveKeys(plan.ledger)) ??
    deliveryFault ??
    timingFault(registration, limits, observation.cacheLifetime) ??
    windowFault(registration.rotationWindows ?? [], now)
  );
}
