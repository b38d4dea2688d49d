import type { Condition } from '../api/ltikey.gen.ts';
import type { ConditionReason } from '../api/reasons.ts';
import { formatInstant, type Instant } from './duration.ts';

/** What one condition says. The reasons are those of the table in api/reasons.ts; no other one compiles. */
export interface Verdict {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: ConditionReason;
  readonly message: string;
}

const longestMessage = 2048;

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
    return [
      {
        type,
        status: verdict.status,
        ...(generation === undefined ? {} : { observedGeneration: generation }),
        lastTransitionTime: before?.status === verdict.status ? before.lastTransitionTime : formatInstant(now),
        reason: verdict.reason,
        message: verdict.message.slice(0, longestMessage),
      },
    ];
  });
}
