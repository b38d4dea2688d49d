import { isDeepStrictEqual } from 'node:util';
import { day, minute, second } from '../../../../src/domain/duration.ts';
import { plan, type Plan } from '../../../../src/domain/key-plan.ts';
import { activeKey, type Ledger, type LedgerKey, liveKeys } from '../../../../src/domain/ledger.ts';
import { registrationStatus } from '../../../../src/domain/projection.ts';
import type { Situation } from '../../../../src/domain/situation.ts';
import { gather, ledgerToWrite } from './operator.ts';
import { limits, signing, type World } from './world.ts';

/** What must hold (DESIGN: invariants), held against the truth of the world and not against the domain's own times. */

/** The diagram once more, independent of src/domain/key-state.ts. */
const legalMoves = new Set([
  'Next Active',
  'Next Retired',
  'Next Revoked',
  'Active Retiring',
  'Active Revoked',
  'Retiring Active',
  'Retiring Retired',
  'Retiring Revoked',
]);

/** Twice the clock difference that is tolerated. */
const slack = 10 * minute;

/** What is wrong with a write of the ledger that was decided in `before` and happened in `after`. */
export function checkWrite(before: World, after: World): string | undefined {
  const { ledger: old, registration } = before;
  const { ledger } = after;
  if (ledger.serial !== old.serial + 1) return 'the serial does not go up by one';
  if (!pointsAtItsOnlyActiveKey(ledger)) return 'the ledger does not point at its only Active key';
  if (ledger.keys.filter(({ state }) => state === 'Next').length > 1) return 'two keys wait to sign';
  const signed = activeKey(old);
  if (signed && !activeKey(ledger) && !registration.revokedKeyIDs.has(signed.keyID)) return 'no key signs any more';
  if (ledger.highestRevision > old.highestRevision) {
    const damage = before.damagedKeyID;
    const lost = damage !== undefined && !registration.revokedKeyIDs.has(damage) && isLive(old, damage);
    if (before.kekMissing || lost) return 'a key was made because of a fault';
    if (ledger.highestRevision !== old.highestRevision + 1) return 'a revision was skipped';
  }
  for (const was of old.keys) {
    const is = ledger.keys.find(({ keyID }) => keyID === was.keyID);
    if (!is && isLive(old, was.keyID)) {
      const fault = checkMove(before, after, was, {
        ...was,
        state: registration.revokedKeyIDs.has(was.keyID) ? 'Revoked' : 'Retired',
      });
      if (fault) return fault;
      continue;
    }
    if (!is) continue;
    if (is.size !== was.size || is.revision !== was.revision || is.createdAt !== was.createdAt) return 'facts changed';
    if (was.publishedAt !== undefined && is.publishedAt !== was.publishedAt) return 'publishedAt moved';
    const fault = is.state === was.state ? undefined : checkMove(before, after, was, is);
    if (fault) return fault;
  }
  return undefined;
}

function checkMove(before: World, after: World, was: LedgerKey, is: LedgerKey): string | undefined {
  const { registration, clockAhead, real } = before;
  const { keyID } = was;
  if (!legalMoves.has(`${was.state} ${is.state}`) && !passesThrough(was, is))
    return `${keyID}: ${was.state} to ${is.state}`;
  const skewed = Math.abs(clockAhead) > 5 * minute;
  const revoked = (id: string | undefined): boolean => id !== undefined && registration.revokedKeyIDs.has(id);
  if (is.state === 'Active') {
    if (skewed) return `${keyID} was activated while the clock was wrong`;
    if (!before.served.has(keyID)) return `${keyID} was activated without being served`;
    if (before.kekMissing || before.damagedKeyID === keyID) return `${keyID} was activated and does not open`;
    if (revoked(keyID)) return `${keyID} is revoked and was activated`;
    const { activeKeyID } = before.ledger;
    if (activeKeyID !== undefined && !revoked(activeKeyID)) {
      if (registration.suspend) return `${keyID} was activated while suspended`;
      const since = before.servedSince.get(keyID) ?? Infinity;
      if (real - since < registration.activationDelay - slack) return `${keyID} was activated before its delay`;
      const awaits = registration.keyDistribution === 'Manual' && registration.acknowledgedKeyID !== keyID;
      if (awaits) return `${keyID} was activated unacknowledged`;
    }
  }
  if (is.state === 'Revoked' && !revoked(keyID)) return `${keyID} was revoked and nobody asked`;
  if (is.state === 'Retired' && was.state === 'Next' && was.size === registration.keySize)
    return `${keyID} was discarded`;
  if (is.state === 'Retired' && was.state !== 'Next') {
    if (skewed) return `${keyID} was retired while the clock was wrong`;
    if (registration.suspend) return `${keyID} was retired while suspended`;
    const overlap = Math.max(registration.overlap, limits.minimumOverlap);
    const until = after.signedUntil.get(keyID) ?? -Infinity;
    if (real - until < overlap - slack) return `${keyID} was removed before its overlap was over`;
  }
  return undefined;
}

/** Moves that one write may make at once. */
function passesThrough(was: LedgerKey, is: LedgerKey): boolean {
  return was.state === 'Active' && is.state === 'Retired';
}

/** What is wrong in a world, whatever led there. */
export function checkWorld(world: World): string | undefined {
  for (const keyID of signing(world)) {
    if (!world.servedSince.has(keyID)) return `${keyID} signs and was never served by all`;
    if (world.ledger.keys.find((key) => key.keyID === keyID)?.state === 'Next') return `${keyID} signs before its time`;
  }
  const situation = gather(world);
  const decision = plan(situation);
  return checkDecision(situation, decision) ?? checkNextCheck(situation, decision) ?? checkStatus(situation, decision);
}

function checkDecision(situation: Situation, decision: Plan): string | undefined {
  if (!isDeepStrictEqual(plan(situation), decision)) return 'the plan is not the same twice';
  const ledger = ledgerToWrite(situation, decision);
  if (!ledger) return undefined;
  const again = plan({ ...situation, ledger });
  if (decision.transitions.length > 0)
    return again.transitions.length > 0 ? 'the plan of its own result is new' : undefined;
  return again.generate ? 'the plan asks for another key at once' : undefined;
}

/** Nothing may become due before the next look, nor be looked at without a pause. */
function checkNextCheck(situation: Situation, decision: Plan): string | undefined {
  const { now } = situation;
  if (ledgerToWrite(situation, decision)) return undefined;
  const { nextCheckAt } = decision;
  if (nextCheckAt !== undefined && nextCheckAt < now + second / 10) return 'the next check is too soon';
  const later = plan({ ...situation, now: (nextCheckAt ?? now + 3650 * day) - 1 });
  const due = later.generate ?? later.transitions.find(({ reason }) => reason !== 'HistoryPruned');
  return due ? `something is due before the next check: ${JSON.stringify(due)}` : undefined;
}

function checkStatus(situation: Situation, decision: Plan): string | undefined {
  const outcome = { situation, plan: decision };
  const status = registrationStatus(outcome, undefined);
  const ready = status.conditions?.find(({ type }) => type === 'Ready')?.status === 'True';
  const active = activeKey(decision.ledger);
  const wanted = situation.registration.deliverySecretName;
  const usable =
    active !== undefined &&
    situation.observation.servedKeyIDs.has(active.keyID) &&
    (wanted === undefined || situation.delivery.keyID === active.keyID);
  if (ready !== usable) return `Ready is ${ready}, usable is ${usable}`;
  return isDeepStrictEqual(registrationStatus(outcome, status), status) ? undefined : 'the status moves by itself';
}

function pointsAtItsOnlyActiveKey(ledger: Ledger): boolean {
  const active = ledger.keys.filter(({ state }) => state === 'Active');
  return active.length <= 1 && active[0]?.keyID === ledger.activeKeyID;
}

function isLive(ledger: Ledger, keyID: string): boolean {
  return liveKeys(ledger).some((key) => key.keyID === keyID);
}
