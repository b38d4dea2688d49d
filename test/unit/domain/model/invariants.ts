import { isDeepStrictEqual } from 'node:util';
import type { LtiKey } from '../../../../src/api/objects.ts';
import { decide } from '../../../../src/domain/decide.ts';
import { day, second } from '../../../../src/domain/duration.ts';
import { type Decision, type Effect, effectID } from '../../../../src/domain/effects.ts';
import { isShownPublished } from '../../../../src/domain/ltikeys.ts';
import { isFault, type Situation } from '../../../../src/domain/situation.ts';
import { checkConditionMessage } from '../../../builders/condition-message.ts';
import { checkWrite } from './ledger-invariants.ts';
import { isPublished, isServedByAll, readableLedger, rowOf, type World } from './world.ts';
import { traceOf } from './gather.ts';

/** The invariants, checked against the true state of the modelled world and not against the times that the domain computed. */

/** An effect that was decided in `situation` and carried out between these two worlds. */
export interface Happened {
  readonly before: World;
  readonly after: World;
  readonly situation: Situation;
  readonly effect: Effect;
}

export function checkEffect(happened: Happened): void {
  const fault = faultOf(happened);
  if (fault !== undefined) throw new Error(`${effectID(happened.effect)}: ${fault}`);
}

function faultOf({ before, after, situation, effect }: Happened): string | undefined {
  switch (effect.kind) {
    case 'generate':
      return before.kekMissing ? 'a key pair is made that cannot be sealed' : undefined;
    case 'writeLedger': {
      const undetectable = before.ledgerFault === 'missing' && traceOf(before) === undefined;
      if (before.ledgerFault !== undefined && !undetectable)
        return `a ledger that is ${before.ledgerFault} is replaced`;
      return checkWrite(before, after, situation);
    }
    case 'removeLedger':
      if (before.ledgerFault !== undefined) return 'a ledger that cannot be read is removed';
      if (!isToBeRemoved(before, situation)) return 'the ledger is removed without a request';
      return before.secrets.size > 0 ? 'a private half outlives the ledger' : published(before);
    case 'createKey':
      return undefined;
    case 'showKey':
      return checkShown(before, situation, effect.key);
    case 'removeKey':
      return checkRemovedKey(before, situation, effect.key);
    case 'deliver':
      return checkDelivered(before, after, situation, effect.content.secretName);
    default:
      return checkRemovedDelivery(before, situation, effect.secretName);
  }
}

function published({ keys }: World): string | undefined {
  return [...keys.values()].some(isShownPublished) ? 'the ledger is removed while keys are published' : undefined;
}

/** Whether the registration is being removed, as its deletionPolicy requires. */
function isToBeRemoved({ object, registration, ledger, swept }: World, { registration: read }: Situation): boolean {
  // An object of the same name for another platform replaced one with deletionPolicy Delete.
  if (object && read.kind === 'present')
    return ledger?.deletionPolicy === 'Delete' && ledger.issuer !== registration.issuer;
  return registration.deletionPolicy === 'Delete' && !swept;
}

function isRevoked({ registration, ledger }: World, keyID: string): boolean {
  if (registration.revokedKeyIDs.has(keyID)) return true;
  return ledger?.keys.some((key) => key.keyID === keyID && (key.state === 'Revoked' || isLeaving(key))) ?? false;
}

function isLeaving({ revocationSeenAt }: { readonly revocationSeenAt?: number }): boolean {
  return revocationSeenAt !== undefined;
}

function checkShown(before: World, situation: Situation, key: LtiKey): string | undefined {
  const { keyID } = key.spec;
  const was = before.keys.get(key.metadata.name);
  const shows = isShownPublished(key);
  if (shows && before.left.has(keyID)) return `${keyID} was revoked, left, and comes back`;
  if (shows || !was || !isShownPublished(was) || isRevoked(before, keyID)) return undefined;
  const row = rowOf(before, keyID);
  if (row === undefined || row.state === 'Retired' || isToBeRemoved(before, situation)) return undefined;
  return `${keyID} leaves the documents and is ${row.state}`;
}

function checkRemovedKey(before: World, situation: Situation, { metadata, spec }: LtiKey): string | undefined {
  const ledger = readableLedger(before);
  const listed = ledger?.keys.find((key) => key.keyID === spec.keyID && key.revision === spec.revision);
  if (ledger && before.ledgerFault === undefined && !listed) return undefined;
  const over = [...before.keys.values()].every((key) => !isShownPublished(key));
  const isGone = situation.registration.kind === 'gone' && before.ledgerFault !== 'corrupt';
  if (!ledger && (isGone || before.ledgerFault === undefined) && over) return undefined;
  const wayOut = situation.refused.has(`showKey ${metadata.name}`);
  if (wayOut && (isRevoked(before, spec.keyID) || isToBeRemoved(before, situation))) return undefined;
  return 'an LtiKey is removed that is on record, or may be';
}

/** Publish before sign. */
function checkDelivered(before: World, after: World, situation: Situation, name: string): string | undefined {
  const keyID = after.secrets.get(name)?.keyID;
  const had = before.secrets.get(name)?.keyID;
  if (keyID === undefined) {
    // A Secret that cannot be deleted loses its key instead.
    const wayOut = situation.refused.has(`removeDelivery ${name}`);
    if (wayOut && checkRemovedDelivery(before, situation, name) === undefined) return undefined;
    return had !== undefined && !mayLose(before, had) ? `${had} is taken from the tool` : undefined;
  }
  if (before.left.has(keyID)) return `${keyID} was revoked, left, and is delivered again`;
  if (keyID === had) return undefined;
  if (!before.servedSince.has(keyID)) return `${keyID} is delivered and was never served by all`;
  if (rowOf(before, keyID)?.state !== 'Active') return `${keyID} is delivered and is not the signing key`;
  return undefined;
}

function mayLose(world: World, keyID: string): boolean {
  return isRevoked(world, keyID) || rowOf(world, keyID)?.state !== 'Active';
}

function checkRemovedDelivery(before: World, situation: Situation, name: string): string | undefined {
  const { object, registration, secrets, ledger } = before;
  const keyID = secrets.get(name)?.keyID;
  if (keyID === undefined || isRevoked(before, keyID) || isToBeRemoved(before, situation)) return undefined;
  if (!object) return 'a delivery Secret is removed under Retain';
  if (registration.deliverySecretName === undefined) return undefined;
  if (registration.deliverySecretName === name) return 'the wanted delivery Secret is removed';
  const wanted = secrets.get(registration.deliverySecretName)?.keyID;
  return wanted !== ledger?.activeKeyID ? 'a delivery Secret is removed before the tool has the new one' : undefined;
}

/** The same situation gives the same decision, and nothing is due before the next check. */
export function checkDecision(situation: Situation, decision: Decision): void {
  const fault =
    checkRepeats(situation, decision) ?? checkNextCheck(situation, decision) ?? checkNeighbor(situation, decision);
  if (fault !== undefined) throw new Error(fault);
}

/** The status of a decision without effects. */
export function checkStatus(world: World, situation: Situation, decision: Decision): void {
  for (const { message } of decision.status?.conditions ?? []) checkConditionMessage(message);
  const fault = statusFault(world, situation, decision);
  if (fault !== undefined) throw new Error(fault);
}

function checkRepeats(situation: Situation, decision: Decision): string | undefined {
  return isDeepStrictEqual(decide(situation), decision) ? undefined : 'the decision is not the same twice';
}

/** Another registration with the same keys changes the status, but no effect. */
function checkNeighbor(situation: Situation, decision: Decision): string | undefined {
  if (situation.ltiKeys.every(({ status }) => status?.state !== 'Revoked')) return undefined;
  const shared = new Map(situation.ltiKeys.map(({ spec }) => [spec.keyID, ['moodle']]));
  const { effects, nextCheckAt } = decide({ ...situation, shared });
  const same = nextCheckAt === decision.nextCheckAt && isDeepStrictEqual(effects, decision.effects);
  return same ? undefined : 'a registration with the same key changes what is done';
}

/** Nothing may be due before the next check, and checks must not follow each other without a pause. */
function checkNextCheck(situation: Situation, { status, nextCheckAt }: Decision): string | undefined {
  const { now, registration, refused } = situation;
  // A key pair that is ready triggers a reconcile.
  const wakes = situation.generating === true;
  if (registration.kind === 'present' && !status && !wakes && (nextCheckAt ?? Infinity) > now + 4 * second)
    return 'there is no status, and no look within 4 seconds';
  if (nextCheckAt !== undefined && nextCheckAt < now + second / 10) return 'the next check is too soon';
  const later = decide({ ...situation, now: (nextCheckAt ?? now + 3650 * day) - 1 });
  const rows = ({ ledger }: Situation): number => (ledger.kind === 'present' ? ledger.ledger.keys.length : 0);
  const due = later.effects.find((effect) => {
    if (refused.has(effectID(effect))) return false;
    // The history is pruned at the next reconcile.
    const prunes = later.effects.some(
      (other) => other.kind === 'writeLedger' && other.ledger.keys.length < rows(situation),
    );
    return !prunes;
  });
  return due ? `something is due before the next check: ${effectID(due)}` : undefined;
}

function statusFault(world: World, situation: Situation, { status }: Decision): string | undefined {
  const { registration: read, refused, now } = situation;
  if (read.kind !== 'present' || !status) return undefined;
  const condition = (type: string) => status.conditions?.find((found) => found.type === type);
  const stalled = condition('Stalled');
  if (status.observedGeneration !== read.object.metadata.generation) return 'the status is of an earlier generation';
  if (refused.size > 0 && !(stalled?.status === 'True' && stalled.reason === 'WriteRefused'))
    return 'a refused write is not in the status';
  const faulty = isFault(read.registration) || world.ledgerFault !== undefined;
  if (faulty && stalled?.status !== 'True') return 'a ledger that cannot be used is not in the status';
  if (condition('RevocationEffective')?.status === 'True') {
    const served = [...(world.ledger?.keys ?? [])].find(
      ({ keyID, state, revokedAt }) =>
        state === 'Revoked' &&
        (revokedAt ?? 0) > now - day &&
        (isPublished(world, keyID) || world.replicas.some(({ serves }) => serves.has(keyID))),
    );
    if (served) return `RevocationEffective is True while a replica serves ${served.keyID}`;
  }
  return faulty ? undefined : checkReady(world, condition('Ready')?.status === 'True');
}

function checkReady(world: World, ready: boolean): string | undefined {
  const { ledger, registration, secrets } = world;
  const active = ledger?.activeKeyID;
  const wanted = registration.deliverySecretName;
  const usable =
    active !== undefined &&
    ledger?.issuer === registration.issuer &&
    isPublished(world, active) &&
    isServedByAll(world, active) &&
    (wanted === undefined || (secrets.get(wanted)?.keyID === active && !world.taken.has(wanted)));
  return ready && !usable ? 'Ready is True, and no tool can sign so that all can verify' : undefined;
}
