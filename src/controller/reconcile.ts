import { decide } from '../domain/decide.ts';
import { type Duration, type Instant, second } from '../domain/duration.ts';
import { isRefusedEffect } from '../domain/effects.ts';
import { liveKeys } from '../domain/ledger.ts';
import type { Refusal, Situation } from '../domain/situation.ts';
import { resyncInterval, retryPoll, untilResync } from '../domain/timing.ts';
import type { Result } from '../kube/controller.ts';
import type { ObjectKey } from '../kube/objects.ts';
import type { Applier } from './apply.ts';
import { gather, type Sources } from './gather.ts';
import type { Gathered } from './gathered.ts';

export interface ReconcilerOptions {
  readonly sources: Sources;
  readonly applier: Pick<Applier, 'apply' | 'writeStatus'>;
  /** The longest time between two reconciles of a registration, because Secrets are not watched; see `resyncInterval`. */
  readonly resync: Duration;
  /** The number of registrations. */
  readonly registrations: () => number;
}

/** More than any sequence of steps needs: a decision that does not settle is a defect, and must not loop forever. */
const mostPasses = 20;

/** After LtiKeys were written, what replicas were observed to serve is out of date. */
const observeAgainAfter: Duration = second;

interface Settled {
  readonly result: Result;
  /** Whether a write did not take effect that may succeed when it is repeated. */
  readonly isFailing: boolean;
}

/**
 * gather → decide → apply, until no effect is left that was not refused; then one status write. After a crash, the next pass
 * continues from the ledger.
 */
export function reconciler(options: ReconcilerOptions): (key: ObjectKey) => Promise<Result> {
  const { sources, applier } = options;
  /** When the first failed pass began, in monotonic milliseconds; removed when nothing fails. */
  const failingSince = new Map<ObjectKey, number>();

  return async function reconcile(key) {
    const now = sources.clock.monotonic();
    const since = failingSince.get(key) ?? now;
    try {
      const { result, isFailing } = await settle(key, now - since);
      if (!isFailing) failingSince.delete(key);
      return result;
    } catch (error) {
      sources.ledgers.delete(key);
      failingSince.set(key, since);
      throw error;
    }
  };

  async function settle(key: ObjectKey, failingFor: Duration): Promise<Settled> {
    let gathered = await gather(sources, key, failingFor);
    if (!gathered) return { result: {}, isFailing: false };
    let keysWritten = false;
    for (let pass = 0; pass < mostPasses; pass++) {
      const { situation } = gathered;
      const decision = decide(situation);
      const effects = decision.effects.filter((effect) => !isRefusedEffect(situation, effect));
      if (effects.length === 0) {
        const refusal = decision.status && (await applier.writeStatus(gathered, decision.status));
        const isFailing = [...situation.refused.values(), ...(refusal ? [refusal] : [])].some(mayPass);
        if (isOver(gathered)) return { result: {}, isFailing };
        // No LtiKey is left that could show it.
        if (situation.unreadKeys && situation.ltiKeys.length === 0) throw new Error(situation.unreadKeys.message);
        const checks = [untilNextCheck(options, situation, decision.nextCheckAt)];
        if (keysWritten && !isAllServed(gathered)) checks.push(observeAgainAfter);
        if (refusal) checks.push(retryPoll);
        return { result: { requeueAfter: Math.min(...checks) }, isFailing };
      }
      keysWritten ||= effects.some(({ kind }) => kind === 'createKey' || kind === 'showKey');
      gathered = await applier.apply(gathered, effects);
    }
    throw new Error('the decision does not settle');
  }
}

/** Whether the write may succeed when it is repeated. If a rule refuses it, another request that fails is still retried first. */
function mayPass({ kind }: Refusal): boolean {
  return kind !== 'Refused' && kind !== 'Held';
}

function untilNextCheck(
  { resync, registrations }: ReconcilerOptions,
  { namespace, name, now }: Situation,
  nextCheckAt: Instant | undefined,
): Duration {
  const check = nextCheckAt === undefined ? Infinity : Math.max(nextCheckAt - now, 1);
  return Math.min(check, untilResync(namespace, name, resyncInterval(registrations(), resync), now));
}

/** Whether replicas were observed to serve every live key. */
function isAllServed({ situation: { ledger, observation } }: Gathered): boolean {
  return ledger.kind !== 'present' || liveKeys(ledger.ledger).every(({ keyID }) => observation.servedKeyIDs.has(keyID));
}

/** Whether nothing of the registration is left. */
function isOver({ situation: { registration, ledger, ltiKeys } }: Gathered): boolean {
  return registration.kind === 'gone' && ledger.kind === 'absent' && ltiKeys.length === 0;
}
