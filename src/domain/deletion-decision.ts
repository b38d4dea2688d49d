import { deletionDoubt, deletionPolicyOf } from './deletion-evidence.ts';
import { discardEffect, stripEffects, summarizeDeliveries } from './delivery.ts';
import { type Decision, type Effect, isRefused, isRefusedEffect, ledgerWrite } from './effects.ts';
import { faultedEffects, leftoverFault, withCondition } from './fault-effects.ts';
import { staleSeals } from './key-generation.ts';
import { activeKey, keysIn, type Ledger, liveKeys } from './ledger.ts';
import { missingLedger, rolledBack } from './ledger-fault.ts';
import { ledgerEvidence, ltiKeyEffects, retireEffects } from './ltikeys.ts';
import type { Registration } from './registration.ts';
import { withoutRevoked } from './revocation-policies.ts';
import type { Fault, Gone, LastSpec, Present, Situation } from './situation.ts';
import { faultedStatus } from './status.ts';
import { blockedPoll, retryPoll } from './timing.ts';
import { faultVerdict, refusalFault, type Verdict } from './verdict.ts';

/**
 * Decides about the keys of a deleted registration. With `Retain`, everything stays, published keys included; with
 * `Delete`, the operator deletes what it created, unless the deletion is in doubt. `gone.last`, the last spec that this process saw,
 * takes precedence over the ledger.
 */
export function decideDeleted(situation: Situation, gone: Gone): Decision {
  const { ledger, ltiKeys, namespace, name, now } = situation;
  const { last } = gone;
  switch (ledger.kind) {
    case 'absent': {
      // LtiKeys of final keys do not mean that a ledger was lost: a deletion ends here, wherever it was interrupted.
      const trace = ledgerEvidence(ltiKeys);
      if (!trace) return { effects: ltiKeys.map((key) => ({ kind: 'removeKey', key })), ...retryCheck(situation) };
      return faultyLeftovers(situation, last, missingLedger(namespace, name, `LtiKey ${trace.metadata.name}`));
    }
    case 'faulty':
      return faultyLeftovers(situation, last, ledger.fault);
    default: {
      const fault = rolledBack(ledger.ledger, ltiKeys, undefined);
      if (fault) return faultyLeftovers(situation, last, fault);
      if (deletionPolicyOf(ledger.ledger, last) === 'Retain') {
        return retain(situation, ledger.ledger, last, { deletionPolicy: 'Retain', because: retained(name) });
      }
      const doubt = deletionDoubt(gone, ledger.ledger);
      if (!doubt) return { effects: removalEffects(situation), nextCheckAt: now + retryPoll };
      const { deletionPolicy } = ledger.ledger;
      const kept = retain(situation, ledger.ledger, last, { deletionPolicy, because: doubt });
      return gone.definition?.kind === 'unreadable' ? { nextCheckAt: now + blockedPoll, ...kept } : kept;
    }
  }
}

/** The keys of the former registration are removed first. The new one has a status only if that is not possible. */
export function decideReplaced(situation: Situation, { object }: Present): Decision {
  const { observation, now } = situation;
  const fault = removalFault(situation);
  const generation = object.metadata.generation ?? 0;
  const deliveries = summarizeDeliveries(situation, new Set());
  const faulted = fault && { generation, fault, revokedKeyIDs: [], unknownRevoked: [], deliveries, observation, now };
  return {
    effects: removalEffects(situation),
    ...(faulted ? { status: faultedStatus(faulted, object.status) } : {}),
    nextCheckAt: now + retryPoll,
  };
}

export function isReplaced(ledger: Ledger, { issuer }: Registration): boolean {
  const differs = ledger.issuer !== undefined && issuer !== undefined && ledger.issuer !== issuer;
  return ledger.deletionPolicy === 'Delete' && differs;
}

/**
 * One stage after another, each only after the one before it is complete, so that no private key is left behind wherever the
 * deletion is interrupted: the keys leave the documents, then the delivery Secrets are deleted, then the ledger, then the LtiKeys.
 */
function removalEffects(situation: Situation): readonly Effect[] {
  const ends = retireEffects(situation);
  if (!ends.every((effect) => isRefusedEffect(situation, effect))) return ends;
  const ours = [...situation.deliveries].filter(([, { kind }]) => kind === 'ours');
  // Without the ledger, the operator would no longer know the name of a Secret that may hold a private key, nor whose LtiKeys are left.
  const last: readonly Effect[] = unreadFault(situation) || ends.length > 0 ? [] : [{ kind: 'removeLedger' }];
  const stage = ours.length > 0 ? ours.map(([secretName]) => discardEffect(situation, secretName)) : last;
  const fault = removalFault(situation);
  return fault ? [...stage, ...orphanedEffects(situation, faultVerdict(fault, 'True'))] : stage;
}

/** Why a removal cannot be completed. */
function removalFault(situation: Situation): Fault | undefined {
  return refusalFault(situation.refused) ?? unreadFault(situation);
}

/** Why it is not known whether a Secret holds a private key, or an LtiKey a published one. */
function unreadFault({ deliveries, unreadKeys }: Situation): Fault | undefined {
  return [...deliveries.values()].find((secret) => secret.kind === 'unreadable')?.fault ?? unreadKeys;
}

function orphanedEffects({ ltiKeys, now }: Situation, verdict: Verdict): readonly Effect[] {
  return ltiKeys.flatMap((key): Effect[] => {
    const marked = withCondition(key, 'Orphaned', verdict, now);
    return marked ? [{ kind: 'showKey', key: marked }] : [];
  });
}

/** What the ledger records of a deletion that removes nothing, and what the LtiKeys say about it. */
interface Retention extends Pick<Ledger, 'deletionPolicy'> {
  readonly because: Fault;
}

/** The keys stay as the ledger has them and are still resealed; revocations that were requested are completed. */
function retain(
  situation: Situation,
  recorded: Ledger,
  last: LastSpec | undefined,
  { deletionPolicy, because }: Retention,
): Decision {
  const { keyMaterial, now } = situation;
  const active = activeKey(recorded);
  const begun = active?.revocationSeenAt === undefined ? [] : [active.keyID];
  const revoked = withoutRevoked(recorded, new Set([...(last?.revokedKeyIDs ?? []), ...begun]), now);
  const changed = revoked !== recorded || recorded.deletionPolicy !== deletionPolicy;
  const reseal = changed ? [] : staleSeals({ ...situation, ledger: recorded });
  const writes = (changed || reseal.length > 0) && !isRefused(situation, 'writeLedger');
  const ledger: Ledger = writes ? { ...revoked, deletionPolicy, serial: recorded.serial + 1 } : revoked;
  const live = new Set(liveKeys(ledger).map(({ keyID }) => keyID));
  const revokedIDs = new Set(keysIn(ledger, 'Revoked').map(({ keyID }) => keyID));
  const keys = ltiKeyEffects(situation, ledger, keyMaterial, {
    Orphaned: faultVerdict(leftoverFault(situation, revokedIDs) ?? because, 'True'),
  });
  return {
    effects: [
      ...keys.urgent,
      // A delivery Secret without its key is deleted: no other key will be delivered.
      ...stripEffects(situation, (_name, keyID) => !live.has(keyID)).map((effect) =>
        effect.kind === 'deliver' ? discardEffect(situation, effect.content.secretName) : effect,
      ),
      ...(writes ? [ledgerWrite(ledger, [because.reason], { reseal })] : []),
      ...keys.rest,
    ],
    ...retryCheck(situation),
  };
}

function retained(name: string): Fault {
  const message = `registration ${name} was deleted with deletionPolicy Retain: the key stays as it is. Apply the registration again to continue with its keys, or see docs/recovery.md to remove them`;
  return { reason: 'RegistrationDeleted', message };
}

/** A ledger that cannot be used is not a reason to remove anything; only revoked keys leave the documents. */
function faultyLeftovers(situation: Situation, last: LastSpec | undefined, fault: Fault): Decision {
  const revoked = last?.revokedKeyIDs ?? new Set();
  const first = leftoverFault(situation, revoked);
  const reported = first ? { ...first, message: `${first.message}. Also, ${fault.message}` } : fault;
  const effects = faultedEffects(situation, reported, revoked);
  return { effects, nextCheckAt: situation.now + blockedPoll };
}

/** A refused write is retried; otherwise nothing is due. */
function retryCheck({ refused, now }: Situation): { nextCheckAt?: number } {
  return refused.size > 0 ? { nextCheckAt: now + retryPoll } : {};
}
