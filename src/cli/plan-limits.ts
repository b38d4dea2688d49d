import type { LtiRegistration } from '../api/objects.ts';
import { cacheControl, cacheLifetime, defaultMaxAge } from '../documents/cache-control.ts';
import { type Duration, second } from '../domain/duration.ts';
import type { Registration } from '../domain/registration.ts';
import { defaultMinimumOverlap, timingFault, type TimingLimits } from '../domain/timing.ts';

/** What the sidecar announces by default. */
export const assumedCacheLifetime: Duration = cacheLifetime(cacheControl(defaultMaxAge, false));
/** The operator's limits unless its options change them. */
export const assumedLimits: TimingLimits = { minimumOverlap: defaultMinimumOverlap };

/** The limits to plan with. Only the operator's options say its limits, and the CLI cannot read those. */
export interface PlanLimits {
  readonly limits: TimingLimits;
  /** Why no rotation starts, as a sentence; absent if rotations start. */
  readonly note?: string;
}

const timingReasons: ReadonlySet<string> = new Set<NonNullable<ReturnType<typeof timingFault>>['reason']>([
  'ActivationDelayTooShort',
  'OverlapTooShort',
  'RotationTooFrequent',
]);

/**
 * What the status of the registration in the cluster says about the limits, or else the default limits. `present` and `shown` are that
 * registration, as it was read and as the API server returned it; absent for a manifest that is not applied yet.
 */
export function planLimits(wanted: Registration, present?: Registration, shown?: LtiRegistration): PlanLimits {
  const stalled =
    present && shown && hasSameTiming(wanted, present) && shown.status?.observedGeneration === present.generation
      ? shown.status.conditions?.find(({ type }) => type === 'Stalled')
      : undefined;
  if (stalled?.status === 'False') return { limits: { minimumOverlap: 0, minimumActivationDelay: 0 } };
  if (stalled && timingReasons.has(stalled.reason)) {
    // Any limit above the delay holds every rotation.
    const limits = { ...assumedLimits, minimumActivationDelay: wanted.activationDelay + second };
    return { limits, note: `No rotation starts: ${stalled.message}.` };
  }
  const fault = timingFault(wanted, assumedLimits, assumedCacheLifetime);
  const note = fault && `With the operator's default limits, no rotation starts: ${fault.message}.`;
  return { limits: assumedLimits, ...(note === undefined ? {} : { note }) };
}

function hasSameTiming(a: Registration, b: Registration): boolean {
  return a.activationDelay === b.activationDelay && a.overlap === b.overlap && a.rotateAfter === b.rotateAfter;
}
