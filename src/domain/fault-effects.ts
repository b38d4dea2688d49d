import type { LtiKey } from '../api/objects.ts';
import { stripEffects, summarizeDeliveries } from './delivery.ts';
import type { Effect } from './effects.ts';
import { mayBeLive, unpublishEffects } from './ltikeys.ts';
import type { Fault, Situation } from './situation.ts';
import { conditions, faultVerdict, refusalFault, type Verdict } from './verdict.ts';

/** Withdraws revoked keys from publication and delivery without a write of the ledger. */
export function revocationEffects(situation: Situation, revoked: ReadonlySet<string> = new Set()): readonly Effect[] {
  return [
    ...unpublishEffects(situation, ({ spec }) => revoked.has(spec.keyID)),
    ...stripEffects(situation, (_name, keyID) => revoked.has(keyID)),
  ];
}

/** Revoked keys leave without the ledger, and the LtiKeys of the others report the fault. */
export function faultedEffects(situation: Situation, fault: Fault, revoked: ReadonlySet<string>): readonly Effect[] {
  return [...revocationEffects(situation, revoked), ...markEffects(situation, fault, revoked)];
}

/** What prevents a revocation or another write: a deleted registration has no status, so its LtiKeys report it. */
export function leftoverFault(situation: Situation, revoked: ReadonlySet<string>): Fault | undefined {
  const held = summarizeDeliveries(situation, revoked).revoked;
  return held === undefined ? refusalFault(situation.refused) : { reason: 'RevokedKeyDelivered', message: held };
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
