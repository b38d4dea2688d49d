import { announcementsOf, type Effect, ledgerWrite } from './effects.ts';
import { withNewKey } from './key-generation.ts';
import type { Plan } from './key-plan.ts';
import type { Ledger } from './ledger.ts';
import type { KeyMaterial, Lifecycle, SealedPair, Situation } from './situation.ts';

export interface LedgerStep {
  readonly effect?: Effect;
  /** As it is once `effect` was carried out. */
  readonly ledger: Ledger;
  readonly keyMaterial: ReadonlyMap<string, KeyMaterial>;
}

/** What is written to the ledger now: the changes of the plan, else the key pair that it needs, else resealed keys. */
export function ledgerStep(situation: Situation, lifecycle: Lifecycle, planned: Plan): LedgerStep {
  const { pair, keyMaterial, generating } = situation;
  const { ledger, generate, transitions, reseal } = planned;
  const create = lifecycle.ledger.highestRevision === 0;
  if (transitions.length > 0) {
    const reasons = transitions.map(({ reason }) => reason);
    const announcements = announcementsOf(transitions);
    return { effect: ledgerWrite(ledger, reasons, { create, announcements }), ledger, keyMaterial };
  }
  if (generate) {
    const { cause, size } = generate;
    if (pair && (cause === 'Import' || isUsable(pair, ledger, { size, kekID: situation.sealingKekID }))) {
      // LtiKeys that an interrupted deletion left behind show a newer ledger than the first one: they are deleted first.
      if (create && situation.ltiKeys.length > 0) return { ledger, keyMaterial };
      const longer = withNewKey(lifecycle, pair.facts, cause);
      const material: KeyMaterial = { opens: true, kekID: pair.kekID };
      return {
        effect: ledgerWrite(longer, [cause], { create, pair: true, cause }),
        ledger: longer,
        keyMaterial: new Map([...keyMaterial, [pair.facts.keyID, material]]),
      };
    }
    const effect: Effect = { kind: 'generate', size, urgent: cause === 'Revocation' };
    return { ...(generating ? {} : { effect }), ledger, keyMaterial };
  }
  if (reseal.length > 0) {
    const resealed = { ...ledger, serial: ledger.serial + 1 };
    return { effect: ledgerWrite(resealed, ['KeysResealed'], { reseal }), ledger: resealed, keyMaterial };
  }
  return { ledger, keyMaterial };
}

/** Whether a generated pair can become the next key. The ledger has it already if its write succeeded and the answer was lost. */
function isUsable(
  { facts, kekID }: SealedPair,
  { keys }: Ledger,
  wanted: { readonly size: number; readonly kekID: string | undefined },
): boolean {
  const isNew = keys.every(({ keyID }) => keyID !== facts.keyID);
  return isNew && facts.size === wanted.size && kekID === wanted.kekID;
}
