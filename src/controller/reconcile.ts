import { decide } from '../domain/decide.ts';
import { type Duration, second } from '../domain/duration.ts';
import { effectID } from '../domain/effects.ts';
import { liveKeys } from '../domain/ledger.ts';
import { resyncInterval } from '../domain/timing.ts';
import type { Result } from '../kube/controller.ts';
import type { ObjectKey } from '../kube/objects.ts';
import type { Applier } from './apply.ts';
import { gather, type Gathered, type Sources } from './gather.ts';

export interface ReconcilerOptions {
  readonly sources: Sources;
  readonly applier: Pick<Applier, 'apply' | 'show'>;
  /** Upper bound of how often every registration is looked at even if nothing changed, for Secrets are not watched. */
  readonly resync: Duration;
  /** How many registrations there are. */
  readonly registrations: () => number;
  readonly random: () => number;
}

/** More than any sequence of steps needs; a decision that does not settle is a defect, and must not spin. */
const mostPasses = 20;

/** What replicas serve was asked before LtiKeys were written, and publishers may have nothing new to write: it is asked again. */
const afterShown: Duration = second;

/**
 * gather → decide → apply, until nothing is left to do that was not refused; then one status write. A crash anywhere leaves a
 * ledger from which the next pass does the rest.
 */
export function reconciler(options: ReconcilerOptions): (key: ObjectKey) => Promise<Result> {
  const { sources, applier, resync, registrations, random } = options;

  return async function reconcile(key) {
    try {
      return await settle(key);
    } catch (error) {
      sources.recent.forget(key);
      throw error;
    }
  };

  async function settle(key: ObjectKey): Promise<Result> {
    let gathered = await gather(sources, key);
    if (!gathered) return {};
    let shown = false;
    for (let pass = 0; pass < mostPasses; pass++) {
      const { situation } = gathered;
      const decision = decide(situation);
      const effects = decision.effects.filter((effect) => !situation.refused.has(effectID(effect)));
      if (effects.length === 0) {
        if (decision.status) await applier.show(gathered, decision.status);
        if (isOver(gathered)) return {};
        const next = untilNextCheck(situation.now, decision.nextCheckAt);
        return { requeueAfter: shown && !isAllServed(gathered) ? Math.min(next, afterShown) : next };
      }
      shown ||= effects.some(({ kind }) => kind === 'createKey' || kind === 'showKey');
      gathered = await applier.apply(gathered, effects);
    }
    throw new Error('the decision does not settle');
  }

  function untilNextCheck(now: number, nextCheckAt: number | undefined): Duration {
    const check = nextCheckAt === undefined ? Infinity : Math.max(nextCheckAt - now, 1);
    return Math.min(check, withJitter(resyncInterval(registrations(), resync)));
  }

  function withJitter(duration: Duration): Duration {
    return Math.floor(duration * (0.9 + 0.2 * random()));
  }
}

/** Whether replicas were observed to serve every live key. */
function isAllServed({ situation: { ledger, observation } }: Gathered): boolean {
  return ledger.kind !== 'present' || liveKeys(ledger.ledger).every(({ keyID }) => observation.servedKeyIDs.has(keyID));
}

/** Nothing of the registration is left. */
function isOver({ situation: { registration, ledger, shown } }: Gathered): boolean {
  return registration.kind === 'gone' && ledger.kind === 'absent' && shown.length === 0;
}
