import type { Verdict } from './condition.ts';
import { stripEffects } from './delivery.ts';
import type { Decision, Effect } from './effects.ts';
import { faultedEffects, missingLedger, retryPoll, rolledBack, withCondition } from './faulty.ts';
import { blockedPoll } from './key-plan.ts';
import { activeKey, type Ledger, liveKeys } from './ledger.ts';
import { lastingKey, ltiKeyEffects, retireEffects } from './ltikeys.ts';
import { staleSeals } from './needed-revision.ts';
import type { Registration } from './registration.ts';
import { withoutRevoked } from './revocation-policies.ts';
import type { Fault, Situation } from './situation.ts';
import { refusalFault } from './verdicts.ts';

/**
 * What is left of a registration that is gone. Under `Retain` all of it stays, published included; under `Delete` the operator
 * removes what it made. The last spec that this process saw decides, else what the ledger recorded.
 */
export function decideGone(situation: Situation, last: Registration | undefined): Decision {
  const { ledger, shown, namespace, name, now } = situation;
  switch (ledger.kind) {
    case 'absent': {
      // LtiKeys of keys that are over are no loss: a removal ends here, wherever it was interrupted.
      const trace = lastingKey(shown);
      if (!trace) return { effects: shown.map((key) => ({ kind: 'removeKey', key })), ...untilDone(situation) };
      return faultyLeftovers(situation, last, missingLedger(namespace, name, `LtiKey ${trace.metadata.name}`));
    }
    case 'faulty':
      return faultyLeftovers(situation, last, ledger.fault);
    default: {
      const fault = rolledBack(ledger.ledger, shown, undefined);
      if (fault) return faultyLeftovers(situation, last, fault);
      const policy = last?.deletionPolicy ?? ledger.ledger.deletionPolicy;
      if (policy === 'Delete') return { effects: removalEffects(situation), nextCheckAt: now + retryPoll };
      return retain(situation, ledger.ledger, last);
    }
  }
}

/**
 * One stage after another, each only when the one before it is done, so that no private half is left behind wherever it is
 * interrupted: the keys leave the documents, then the delivery Secrets go, then the ledger, then the LtiKeys.
 */
export function removalEffects(situation: Situation): readonly Effect[] {
  const { deliveries, refused } = situation;
  const ends = retireEffects(situation);
  if (ends.length > 0) return ends;
  const ours = [...deliveries].filter(([, { kind }]) => kind === 'ours');
  const stage: readonly Effect[] =
    ours.length > 0 ? ours.map(([secretName]) => ({ kind: 'removeDelivery', secretName })) : [{ kind: 'removeLedger' }];
  const refusal = refusalFault([...refused.values()]);
  if (!refusal) return stage;
  return [
    ...stage,
    ...orphanedEffects(situation, { status: 'True', reason: refusal.reason, message: refusal.message }),
  ];
}

function orphanedEffects({ shown, now }: Situation, verdict: Verdict): readonly Effect[] {
  return shown.flatMap((key): Effect[] => {
    const marked = withCondition(key, 'Orphaned', verdict, now);
    return marked ? [{ kind: 'showKey', key: marked }] : [];
  });
}

/** The keys stay as the ledger has them and follow the key-encryption key; revocations that were asked for are finished. */
function retain(situation: Situation, recorded: Ledger, last: Registration | undefined): Decision {
  const { refused, keyMaterial, now } = situation;
  const active = activeKey(recorded);
  const begun = active?.revocationSeenAt === undefined ? [] : [active.keyID];
  const revoked = withoutRevoked(recorded, new Set([...(last?.revokedKeyIDs ?? []), ...begun]), now);
  const wanted: Ledger = { ...revoked, deletionPolicy: 'Retain' };
  const changed = revoked !== recorded || recorded.deletionPolicy !== 'Retain';
  const reseal = changed ? [] : staleSeals({ ...situation, ledger: recorded });
  const writes = (changed || reseal.length > 0) && !refused.has('writeLedger');
  const ledger = writes ? { ...wanted, serial: recorded.serial + 1 } : revoked;
  const refusal = refusalFault([...refused.values()]);
  const orphaned: Verdict = refusal
    ? { status: 'True', reason: refusal.reason, message: refusal.message }
    : {
        status: 'True',
        reason: 'RegistrationDeleted',
        message: `registration ${recorded.registration} was deleted with deletionPolicy Retain: the key stays as it is. Apply the registration again to continue with its keys, or see docs/recovery.md to remove them`,
      };
  const keys = ltiKeyEffects(situation, ledger, keyMaterial, { Orphaned: orphaned });
  const live = new Set(liveKeys(ledger).map(({ keyID }) => keyID));
  const write: Effect = {
    kind: 'writeLedger',
    ledger,
    create: false,
    pair: false,
    reseal,
    reasons: ['RegistrationDeleted'],
    announcements: [],
  };
  return {
    effects: [
      ...keys.urgent,
      // Nobody will fill them again.
      ...stripEffects(situation, (_name, keyID) => !live.has(keyID)).map((effect): Effect =>
        effect.kind === 'deliver' ? { kind: 'removeDelivery', secretName: effect.content.secretName } : effect,
      ),
      ...(writes ? [write] : []),
      ...keys.rest,
    ],
    ...untilDone(situation),
  };
}

/** Nothing is removed because a ledger cannot be read; what was revoked leaves all the same. */
function faultyLeftovers(situation: Situation, last: Registration | undefined, fault: Fault): Decision {
  const effects = faultedEffects(situation, fault, last?.revokedKeyIDs ?? new Set());
  return { effects, nextCheckAt: situation.now + blockedPoll };
}

/** A refused write is tried again; else there is no time at which something happens by itself. */
function untilDone({ refused, now }: Situation): { nextCheckAt?: number } {
  return refused.size > 0 ? { nextCheckAt: now + retryPoll } : {};
}
