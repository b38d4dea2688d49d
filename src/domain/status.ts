import { ltiKeyName } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import {
  type Outcome,
  registrationVerdicts,
  type RegistrationVerdicts,
  revokedIDsVerdict,
  withDelivered,
} from './conditions.ts';
import type { DeliverySummary } from './delivery.ts';
import { formatInstant, type Instant } from './duration.ts';
import { fetchTimeToRecord } from './fetches.ts';
import { activeKey, type Ledger, type LedgerKey, nextKey } from './ledger.ts';
import { times } from './ltikeys.ts';
import { notChecked, stillServedVerdict } from './platforms.ts';
import type { Fault, Lifecycle, Observation } from './situation.ts';
import { activationTime, nextRotationTime, permittedTime } from './timing.ts';
import { conditions, faultVerdict, type Verdict } from './verdict.ts';

/** The status of a registration: one function if its ledger and spec can be used, and one if they cannot. */

export type RegistrationStatus = NonNullable<LtiRegistration['status']>;
type Phase = NonNullable<RegistrationStatus['phase']>;

export function registrationStatus(outcome: Outcome, previous: RegistrationStatus | undefined): RegistrationStatus {
  const { lifecycle, jwksURL } = outcome;
  const { registration, now } = lifecycle;
  const { ledger } = outcome.plan;
  const active = activeKey(ledger);
  const next = nextKey(ledger);
  const rotation = active && rotationDate(lifecycle, active, next);
  const fetched = fetchTimeToRecord(lifecycle.fetches, previous?.lastFetchTime, ledger);
  const verdicts = registrationVerdicts(outcome);
  return {
    observedGeneration: registration.generation,
    phase: phaseOf(verdicts, ledger),
    conditions: conditions(verdicts, previous?.conditions, registration.generation, now),
    ...(active ? { activeKey: { ...named(ledger, active), ...times(active, ['createdAt', 'activatedAt']) } } : {}),
    ...(next ? { nextKey: { ...named(ledger, next), ...activateAfter(lifecycle, active, next) } } : {}),
    ...(jwksURL === undefined ? {} : { jwksURL }),
    ...(active && active.revision > 1
      ? { lastRotationTime: formatInstant(active.activatedAt ?? active.createdAt) }
      : {}),
    ...deliverySecretNames(outcome.deliveries),
    ...(fetched === undefined ? {} : { lastFetchTime: formatInstant(fetched) }),
    ...(rotation === undefined ? {} : { nextRotationTime: formatInstant(rotation) }),
    ...(ledger.observedRotationTrigger === undefined
      ? {}
      : { observedRotationTrigger: ledger.observedRotationTrigger }),
    ...(ledger.observedRotateRequest === undefined ? {} : { observedRotateRequest: ledger.observedRotateRequest }),
    ledgerSerial: ledger.serial,
  };
}

/** What is known of a registration whose ledger or spec cannot be used. */
export interface Faulted {
  readonly generation: number;
  readonly fault: Fault;
  /** Of the spec. */
  readonly revokedKeyIDs: readonly string[];
  /** Those of them that the ledger does not record as absent, and cannot record. */
  readonly unconfirmedKeyIDs?: readonly string[];
  /** The ledger records a revocation of a key that no replica serves. */
  readonly hasRecordedRevocation?: boolean;
  readonly unknownRevoked: readonly number[];
  readonly isLedgerCurrent?: boolean;
  readonly deliveries: DeliverySummary;
  /** Why a revoked key cannot leave the documents. */
  readonly stillPublished?: Fault | undefined;
  readonly observation: Observation;
  readonly now: Instant;
}

/** Keeps what the previous status says about the signing key, and reports the fault. */
export function faultedStatus(faulted: Faulted, previous: RegistrationStatus | undefined): RegistrationStatus {
  const { generation, fault, revokedKeyIDs, now } = faulted;
  const { activeKey: formerActive, nextKey: formerNext, deliverySecretNames: _, ...rest } = previous ?? {};
  const isKept = ({ keyID }: { readonly keyID: string }): boolean => !revokedKeyIDs.includes(keyID);
  const active = formerActive && isKept(formerActive) ? formerActive : undefined;
  const next = formerNext && isKept(formerNext) ? formerNext : undefined;
  const former = (type: keyof RegistrationVerdicts): Verdict | undefined => {
    const found = previous?.conditions?.find((condition) => condition.type === type);
    // oxlint-disable-next-line no-unsafe-type-assertion -- conditions are written with reasons of the table alone
    return found && ({ status: found.status, reason: found.reason, message: found.message } as Verdict);
  };
  const kept = (type: keyof RegistrationVerdicts, otherwise: Verdict): Verdict => former(type) ?? otherwise;
  const stillPublished = faulted.stillPublished && faultVerdict(faulted.stillPublished);
  const recorded = faulted.hasRecordedRevocation ? former('RevocationEffective') : undefined;
  const revocation = withDelivered(stillPublished ?? unrecordedRevocation(faulted) ?? recorded, faulted.deliveries);
  const isRegistered = previous?.conditions?.some(({ type }) => type === 'Registered');
  const verdicts: RegistrationVerdicts = {
    Ready: stillPublished ?? (active ? kept('Ready', faultVerdict(fault, 'Unknown')) : faultVerdict(fault)),
    Published: active ? kept('Published', faultVerdict(fault, 'Unknown')) : faultVerdict(fault),
    KeyMaterialAvailable: faultVerdict(fault),
    ...(isRegistered ? { Registered: kept('Registered', faultVerdict(fault)) } : {}),
    ActionRequired: revokedIDsVerdict(faulted.unknownRevoked, faulted.isLedgerCurrent ?? false),
    ...(revocation ? { RevocationEffective: revocation } : {}),
    Reconciling: faultVerdict(fault),
    Stalled: faultVerdict(fault, 'True'),
  };
  return {
    ...rest,
    ...(active ? { activeKey: active } : {}),
    ...(next ? { nextKey: next } : {}),
    ...deliverySecretNames(faulted.deliveries),
    observedGeneration: generation,
    phase: 'Stalled',
    conditions: conditions(verdicts, previous?.conditions, generation, now),
  };
}

function deliverySecretNames({ secretNames }: DeliverySummary): Pick<RegistrationStatus, 'deliverySecretNames'> {
  return secretNames.length > 0 ? { deliverySecretNames: [...secretNames] } : {};
}

function unrecordedRevocation({ unconfirmedKeyIDs = [], observation }: Faulted): Verdict | undefined {
  const { stillServed, absentKeyIDs } = observation;
  const keyID = unconfirmedKeyIDs.find((id) => !absentKeyIDs.has(id)) ?? unconfirmedKeyIDs[0];
  if (keyID === undefined) return undefined;
  if (!absentKeyIDs.has(keyID)) return stillServedVerdict(keyID, stillServed.get(keyID) ?? notChecked);
  const message = `no replica serves revoked key ${keyID}, but the revocation cannot be recorded in the ledger. Fix what the Stalled condition reports, and leave the key ID in spec.revokedKeyIDs`;
  return { status: 'False', reason: 'RevocationPending', message };
}

/** The state in one word, for `kubectl get`: what needs attention comes before what completes by itself. */
function phaseOf(verdicts: RegistrationVerdicts, ledger: Ledger): Phase {
  const is = (type: keyof RegistrationVerdicts): boolean => verdicts[type]?.status === 'True';
  if (is('Stalled')) return 'Stalled';
  if (is('ActionRequired')) return 'ActionRequired';
  const leaving = activeKey(ledger)?.revocationSeenAt !== undefined;
  if (leaving || verdicts.RevocationEffective?.reason === 'RevokedKeyStillServed') return 'Revoking';
  if (verdicts.Reconciling?.reason === 'Suspended') return 'Suspended';
  if (!is('Ready')) return 'Pending';
  return nextKey(ledger) ? 'Rotating' : 'Ready';
}

function named(ledger: Ledger, key: LedgerKey): { name: string; keyID: string } {
  return { name: ltiKeyName(ledger.registration, key.revision), keyID: key.keyID };
}

function activateAfter(
  { registration, now }: Lifecycle,
  active: LedgerKey | undefined,
  next: LedgerKey,
): { activateAfter?: string } {
  const time = active && activationTime(next, active, registration, now);
  return time === undefined ? {} : { activateAfter: formatInstant(time) };
}

function rotationDate(lifecycle: Lifecycle, active: LedgerKey, next: LedgerKey | undefined): Instant | undefined {
  const { registration, now } = lifecycle;
  if (registration.suspend) return undefined;
  const planned = next && activationTime(next, active, registration, now);
  return planned ?? permittedTime(registration, nextRotationTime(active, registration), now);
}
