import type { Condition } from '../api/ltikey.gen.ts';
import type { ConditionReason } from '../api/reasons.ts';
import { formatInstant, type Instant } from './duration.ts';
import type { Fault, Refusal } from './situation.ts';

/** The content of one condition. Its reason is in the tables of api/reasons.ts; no other reason compiles. */
export interface Verdict {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: ConditionReason;
  readonly message: string;
}

const maximumMessageLength = 2048;

/** Conditions in the order of `verdicts`. `lastTransitionTime` changes only with the status. */
export function conditions(
  verdicts: Readonly<Partial<Record<string, Verdict>>>,
  previous: readonly Condition[] | undefined,
  generation: number | undefined,
  now: Instant,
): Condition[] {
  return Object.entries(verdicts).flatMap(([type, verdict]) => {
    if (!verdict) return [];
    const before = previous?.find((condition) => condition.type === type);
    return [
      {
        type,
        status: verdict.status,
        ...(generation === undefined ? {} : { observedGeneration: generation }),
        lastTransitionTime: before?.status === verdict.status ? before.lastTransitionTime : formatInstant(now),
        reason: verdict.reason,
        message: verdict.message.slice(0, maximumMessageLength),
      },
    ];
  });
}

export function faultVerdict({ reason, message }: Fault, status: Verdict['status'] = 'False'): Verdict {
  return { status, reason, message };
}

/** The fault that a refused write causes: it names the object and has the server's reason. */
export function refusalFault(refused: ReadonlyMap<string, Refusal>): Fault | undefined {
  const [refusal, ...others] = refused.values();
  if (!refusal) return undefined;
  const { verb, object, because } = refusal;
  const more = others.length > 0 ? ` (and ${others.length} more)` : '';
  const message = `the operator cannot ${verb} ${object}${more}, because the API server refuses the request: ${because}. The operator retries and continues with everything else. Check RBAC, quotas, admission policies and whether the object is immutable`;
  return { reason: 'WriteRefused', message };
}
