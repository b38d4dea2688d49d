import type { LtiKey } from '../../api/objects.ts';
import { type Duration, type Instant, second } from '../../domain/duration.ts';
import { plan, type Plan } from '../../domain/key-plan.ts';
import type { Result } from '../../kube/controller.ts';
import type { ObjectKey } from '../../kube/objects.ts';
import type { Logger } from '../../observability/log.ts';
import type { RegistrationApplier } from './apply.ts';
import { gather, type ReadableRegistration, type Sources, withLedger } from './gather.ts';
import { finishRemoval, type RemovalOptions, settleRemoved } from './removal.ts';

export interface RegistrationReconcilerOptions {
  readonly sources: Sources;
  readonly applier: RegistrationApplier;
  readonly removal: RemovalOptions;
  /** Every registration is looked at this often even if nothing changed, for Secrets are not watched. */
  readonly resync: Duration;
  readonly random: () => number;
  readonly log: Logger;
}

/** More passes than any sequence of steps needs; a plan that does not settle is a defect, and must not spin. */
const mostPasses = 20;
/** How soon a registration whose ledger cannot be used is looked at again: a restored Secret is found by looking. */
const faultPoll: Duration = 30_000;
/** How soon a registration that returned in the middle of its removal is looked at again, as a new one. */
const afterRemoval: Duration = 50;

/**
 * gather → plan → write the ledger, until nothing is left to decide; then show the ledger: LtiKeys, delivery Secret and
 * one status write. A crash anywhere leaves a ledger from which the next pass does the rest.
 */
export function registrationReconciler(options: RegistrationReconcilerOptions): (key: ObjectKey) => Promise<Result> {
  const { sources, applier, removal, resync, random, log } = options;
  const now = (): Instant => sources.clock.now().getTime();

  async function reconcile(key: ObjectKey): Promise<Result> {
    let gathered = await gather(sources, key);
    for (let pass = 0; pass < mostPasses; pass++) {
      if (gathered.kind === 'absent') {
        await settleRemoved(removal, key);
        return {};
      }
      const faces = sources.keys.byIndex('registration', key);
      if (gathered.kind === 'faulty') {
        const removed = gathered.fault.reason === 'LedgerMissing' && (await finishRemoval(removal, faces));
        if (removed) return { requeueAfterMs: afterRemoval };
        await applier.showFault(gathered.object, faces, gathered.fault);
        return { requeueAfterMs: withJitter(Math.min(resync, faultPoll)) };
      }
      const decision = plan(gathered.situation);
      if (decision.transitions.length > 0 && gathered.record) {
        const record = await applier.writeLedger(gathered, decision);
        gathered = withLedger(gathered, record, now());
        for (const { reason, keyID } of decision.transitions) log.info({ key, reason, kid: keyID }, 'ledger written');
      } else if (decision.generate) {
        const { record, sealed } = await applier.writeKey(gathered, decision.generate);
        gathered = withLedger(gathered, record, now(), sealed);
        log.info({ key, reason: decision.generate.cause, serial: record.ledger.serial }, 'key generated');
      } else if (decision.reseal.length > 0) {
        const { ledger } = await applier.reseal(gathered, decision.reseal);
        log.info({ key, count: decision.reseal.length, serial: ledger.serial }, 'keys sealed anew');
        gathered = await gather(sources, key);
      } else if (!(await project(gathered, faces, decision))) {
        return { requeueAfterMs: untilNextCheck(gathered, decision) };
      } else {
        gathered = await gather(sources, key);
      }
    }
    throw new Error('the plan does not settle');
  }

  /** Whether a Secret was written on which the next decision depends. */
  async function project(gathered: ReadableRegistration, faces: readonly LtiKey[], decision: Plan): Promise<boolean> {
    if (gathered.record) {
      await applier.showKeys(gathered, faces);
      try {
        if (await applier.deliver(gathered, decision.ledger)) return true;
      } catch (error) {
        await applier.showRefusedDelivery(gathered, decision, error);
        throw error;
      }
    }
    if (!isFirstMoment(gathered, decision)) await applier.showStatus(gathered, decision);
    return false;
  }

  /** A new registration whose key will be served at once gets its first status then, not a moment before. */
  function isFirstMoment({ object, situation }: ReadableRegistration, { nextCheckAt }: Plan): boolean {
    return object.status?.conditions === undefined && nextCheckAt !== undefined && nextCheckAt - situation.now < second;
  }

  function untilNextCheck({ situation }: ReadableRegistration, { nextCheckAt }: Plan): Duration {
    const check = nextCheckAt === undefined ? Infinity : Math.max(nextCheckAt - situation.now, 1);
    return Math.min(check, withJitter(resync));
  }

  function withJitter(duration: Duration): Duration {
    return Math.floor(duration * (0.9 + 0.2 * random()));
  }

  return reconcile;
}
