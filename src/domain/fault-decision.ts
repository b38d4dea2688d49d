import { ledgerSecretName } from '../api/names.ts';
import type { LtiKey } from '../api/objects.ts';
import { conditions, faultVerdict, refusalFault, unknownEntries, type Verdict } from './conditions.ts';
import { stripEffects } from './delivery.ts';
import type { Decision, Effect } from './effects.ts';
import type { Ledger } from './ledger.ts';
import { mayBeLive, unpublishEffects } from './ltikeys.ts';
import { type Fault, isFault, type Present, type Situation } from './situation.ts';
import { faultedStatus } from './status.ts';
import { blockedPoll, retryPoll } from './timing.ts';

/** What happens to a registration whose ledger or spec cannot be used: revocations, and a status with the fault. */

/** Why the ledger cannot be used. */
export function ledgerFault(situation: Situation, { object, registration }: Present): Fault | undefined {
  const { ledger, namespace, name, ltiKeys } = situation;
  switch (ledger.kind) {
    case 'faulty':
      return ledger.fault;
    case 'absent':
      return ledger.trace === undefined ? undefined : missingLedger(namespace, name, ledger.trace);
    default:
      return (
        rolledBack(ledger.ledger, ltiKeys, object.status?.ledgerSerial) ??
        (isFault(registration) ? undefined : otherIssuer(ledger.ledger, registration.issuer))
      );
  }
}

export function missingLedger(namespace: string, name: string, trace: string): Fault {
  const message = `ledger Secret ${namespace}/${ledgerSecretName(name)} does not exist, but the registration has keys (${trace}). Restore the Secret from a backup: the operator never replaces lost keys. To abandon the keys instead, see docs/recovery.md`;
  return { reason: 'LedgerMissing', message };
}

/** A ledger that is older than its LtiKeys or the status was restored from a backup, and lacks what happened since. */
export function rolledBack(ledger: Ledger, ltiKeys: readonly LtiKey[], status: number | undefined): Fault | undefined {
  const seen = Math.max(status ?? 0, ...ltiKeys.map((key) => key.status?.ledgerSerial ?? 0));
  if (ledger.serial >= seen) return undefined;
  const message = `${nameOf(ledger)} has serial ${ledger.serial}, but the operator already acted on serial ${seen}: an older copy was restored over it. Restore the newest copy. To continue with an older one, see docs/recovery.md`;
  return { reason: 'LedgerRolledBack', message };
}

/** A registration without an issuer does not get the keys of a known issuer either: its user may be about to register it at another platform. */
function otherIssuer(ledger: Ledger, issuer: string | undefined): Fault | undefined {
  if (ledger.issuer === undefined || ledger.issuer === issuer) return undefined;
  if (issuer === undefined) {
    const message = `${nameOf(ledger)} holds the keys of issuer ${ledger.issuer}, but spec.issuer is not set. Set it to this issuer to continue with these keys. For another platform, use another metadata.name, or remove the keys of the former registration: see docs/recovery.md`;
    return { reason: 'IssuerChanged', message };
  }
  const message = `${nameOf(ledger)} holds the keys of issuer ${ledger.issuer}, which must not be shared with issuer ${issuer}. Use another metadata.name, or remove the keys of the former registration: see docs/recovery.md`;
  return { reason: 'IssuerChanged', message };
}

function nameOf({ namespace, registration }: Ledger): string {
  return `ledger Secret ${namespace}/${ledgerSecretName(registration)}`;
}

/** The keys stay published, but a revoked key still leaves the documents and the delivery Secret. */
export function decideFaulty(situation: Situation, { object }: Present, fault: Fault): Decision {
  const { ltiKeys, refused, observation, now } = situation;
  const wanted = object.spec.revokedKeyIDs ?? [];
  const known = new Set(ltiKeys.map(({ spec }) => spec.keyID));
  const effects = faultedEffects(situation, fault, new Set(wanted));
  const refusal = refusalFault(refused);
  const status = faultedStatus(
    {
      generation: object.metadata.generation ?? 0,
      fault: refusal ? { ...refusal, message: `${refusal.message}. Also, ${fault.message}` } : fault,
      revokedKeyIDs: wanted.filter((keyID) => known.has(keyID)),
      unknownRevoked: known.size === 0 ? [] : unknownEntries(wanted, known),
      observation,
      now,
    },
    object.status,
  );
  return { effects, status, nextCheckAt: now + (refusal ? retryPoll : blockedPoll) };
}

/** Revoked keys leave without the ledger, and the LtiKeys of the others report the fault. */
export function faultedEffects(situation: Situation, fault: Fault, revoked: ReadonlySet<string>): readonly Effect[] {
  return [
    ...unpublishEffects(situation, ({ spec }) => revoked.has(spec.keyID)),
    ...stripEffects(situation, (_name, keyID) => revoked.has(keyID)),
    ...markEffects(situation, fault, revoked),
  ];
}

/** Only LtiKeys that have the condition report the fault, and a revoked one only after it left. */
function markEffects({ ltiKeys, now }: Situation, fault: Fault, revoked: ReadonlySet<string>): readonly Effect[] {
  return ltiKeys.flatMap((key): Effect[] => {
    const marked = withCondition(key, 'KeyMaterialAvailable', faultVerdict(fault), now);
    const had = key.status?.conditions?.some(({ type }) => type === 'KeyMaterialAvailable');
    const leaves = revoked.has(key.spec.keyID) && mayBeLive(key);
    return had && marked && !leaves ? [{ kind: 'showKey', key: marked }] : [];
  });
}

/** The LtiKey with this condition, or `undefined` if it already has it. */
export function withCondition(key: LtiKey, type: string, verdict: Verdict, now: number): LtiKey | undefined {
  const before = key.status?.conditions ?? [];
  const same = before.some(
    (condition) =>
      condition.type === type && condition.reason === verdict.reason && condition.message === verdict.message,
  );
  if (same) return undefined;
  const others = before.filter((condition) => condition.type !== type);
  return {
    ...key,
    status: { ...key.status, conditions: [...others, ...conditions({ [type]: verdict }, before, undefined, now)] },
  };
}
