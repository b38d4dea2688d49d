import type { Condition } from '../api/ltikey.gen.ts';
import type { ConditionReason } from '../api/reasons.ts';
import { formatInstant, type Instant } from './duration.ts';
import type { Fault, Refusal, RefusalKind } from './situation.ts';

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

/** What happened to the request, and what to check. */
const refusalTexts: Readonly<Record<RefusalKind, readonly [happened: string, check: string]>> = {
  Refused: [
    'the API server refuses the request',
    'RBAC, quotas, admission policies and whether the object is immutable',
  ],
  Unauthenticated: [
    "the API server does not accept the operator's credentials",
    'the ServiceAccount of the operator and its token',
  ],
  Held: [
    'the API server keeps the deleted object',
    'which controllers have to remove these finalizers from its metadata.finalizers',
  ],
  Contended: [
    'another client writes the object at the same time',
    'in its metadata.managedFields which client that is',
  ],
  Overloaded: [
    'the API server does not process the request',
    'the health and load of the API server, and its admission webhooks',
  ],
  Unanswered: [
    'the API server gives no usable answer',
    'the health and load of the API server, its admission webhooks and the network',
  ],
};

/** Such as `the operator cannot create Secret gradebook/canvas, because the API server refuses the request: 403 Forbidden: …. Check …`. */
export function refusalMessage({ kind, verb, object, because }: Refusal, more = 0): string {
  const [happened, check] = refusalTexts[kind];
  const others = more > 0 ? ` (and ${more} more)` : '';
  return `the operator cannot ${verb} ${object}${others}, because ${happened}: ${because}. The operator retries and continues with everything else. Check ${check}`;
}

/** The fault that a refused write causes: it names the object and has the server's reason. */
export function refusalFault(refused: ReadonlyMap<string, Refusal>): Fault | undefined {
  const [refusal, ...others] = refused.values();
  return refusal && { reason: 'WriteRefused', message: refusalMessage(refusal, others.length) };
}
