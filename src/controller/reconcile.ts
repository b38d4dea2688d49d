import { decide } from '../domain/decide.ts';
import { type Duration, type Instant, second } from '../domain/duration.ts';
import { effectID } from '../domain/effects.ts';
import { liveKeys } from '../domain/ledger.ts';
import type { Situation } from '../domain/situation.ts';
import { resyncInterval, untilResync } from '../domain/timing.ts';
import type { Result } from '../kube/controller.ts';
import type { ObjectKey } from '../kube/objects.ts';
import type { Applier } from './apply.ts';
import { gather, type Sources } from './gather.ts';
import type { Gathered } from './gathered.ts';

export interface ReconcilerOptions {
  readonly sources: Sources;
  readonly applier: Pick<Applier, 'apply' | 'writeStatus'>;
  /** The longest time between two passes, because Secrets are not watched. */
  readonly resync: Duration;
  /** The number of registrations. */
  readonly registrations: () => number;
}

/** More than any sequence of steps needs: a decision that does not settle is a defect, and must not loop forever. */
const mostPasses = 20;

/** After LtiKeys were written, what replicas were observed to serve is out of date. */
const observeAgainAfter: Duration = second;

/**
 * gather → decide → apply, until no effect is left that was not refused; then one status write. After a crash, the next pass
 * continues from the ledger.
 */
export function reconciler(options: ReconcilerOptions): (key: ObjectKey) => Promise<Result> {
  const { sources, applier } = options;

  return async function reconcile(key) {
    try {
      return await settle(key);
    } catch (error) {
      sources.ledgers.delete(key);
      throw error;
    }
  };

  async function settle(key: ObjectKey): Promise<Result> {
    let gathered = await gather(sources, key);
    if (!gathered) return {};
    let keysWritten = false;
    for (let pass = 0; pass < mostPasses; pass++) {
      const { situation } = gathered;
      const decision = decide(situation);
      const effects = decision.effects.filter((effect) => !situation.refused.has(effectID(effect)));
      if (effects.length === 0) {
        if (decision.status) await applier.writeStatus(gathered, decision.status);
        if (isOver(gathered)) return {};
        const next = untilNextCheck(options, situation, decision.nextCheckAt);
        return { requeueAfter: keysWritten && !isAllServed(gathered) ? Math.min(next, observeAgainAfter) : next };
      }
      keysWritten ||= effects.some(({ kind }) => kind === 'createKey' || kind === 'showKey');
      gathered = await applier.apply(gathered, effects);
    }
    throw new Error('the decision does not settle');
  }
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
