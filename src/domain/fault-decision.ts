import { unknownEntries } from './conditions.ts';
import { summarizeDeliveries } from './delivery.ts';
import type { Decision } from './effects.ts';
import { faultedEffects } from './fault-effects.ts';
import { isCurrent } from './ledger-fault.ts';
import { stillPublished } from './ltikeys.ts';
import type { Fault, Present, Situation } from './situation.ts';
import { faultedStatus } from './status.ts';
import { blockedPoll, retryPoll } from './timing.ts';
import { refusalFault } from './verdict.ts';

/** Decides about a registration whose ledger or spec cannot be used: revocations, and a status with the fault. */

/** The keys stay published, but a revoked key still leaves the documents and the delivery Secret. */
export function decideFaulty(situation: Situation, { object }: Present, fault: Fault): Decision {
  const { ltiKeys, ledger, refused, observation, now } = situation;
  const wanted = object.spec.revokedKeyIDs ?? [];
  // The status knows a key whose LtiKey was deleted because its state could not be written.
  const { activeKey, nextKey } = object.status ?? {};
  const named = [activeKey, nextKey].flatMap((key) => (key ? [key.keyID] : []));
  const recorded = ledger.kind === 'present' ? ledger.ledger.keys : [];
  const isLedgerCurrent = ledger.kind === 'present' && isCurrent(ledger.ledger, ltiKeys, object);
  // Not observed any more, once a day has passed.
  const absent = new Set(recorded.filter(({ absentAt }) => absentAt !== undefined).map(({ keyID }) => keyID));
  const known = new Set([...ltiKeys.map(({ spec }) => spec.keyID), ...recorded.map(({ keyID }) => keyID), ...named]);
  const effects = faultedEffects(situation, fault, new Set(wanted));
  const refusal = refusalFault(refused);
  const status = faultedStatus(
    {
      generation: object.metadata.generation ?? 0,
      fault: refusal ? { ...refusal, message: `${refusal.message}. Also, ${fault.message}` } : fault,
      revokedKeyIDs: wanted,
      unconfirmedKeyIDs:
        ledger.kind === 'absent' && ledger.trace === undefined
          ? []
          : // An unusable ledger may have keys that nothing else names.
            wanted.filter((keyID) => !absent.has(keyID) && (known.has(keyID) || !isLedgerCurrent)),
      hasRecordedRevocation: absent.size > 0,
      stillPublished: stillPublished(situation, new Set(wanted)),
      deliveries: summarizeDeliveries(situation, new Set(wanted)),
      unknownRevoked: known.size === 0 ? [] : unknownEntries(wanted, known),
      isLedgerCurrent,
      observation,
      now,
    },
    object.status,
  );
  return { effects, status, nextCheckAt: now + (refusal ? retryPoll : blockedPoll) };
}
