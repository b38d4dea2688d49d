import type { LtiKey } from '../../../../src/api/objects.ts';
import { day, type Duration, type Instant } from '../../../../src/domain/duration.ts';
import { isFinal } from '../../../../src/domain/key-state.ts';
import type { LedgerKey } from '../../../../src/domain/ledger.ts';
import { epoch } from '../../../builders/ledger.ts';
import { tick, timing, type World } from './world.ts';

/**
 * The same text for all worlds that continue in the same way: keys are named by the order of their revisions, times are relative to
 * now, and all times that no longer matter are equal. Without `times`, the same text for all that are alike for a minute.
 */
export function canonical(world: World, times = true): string {
  const { ledger, object, registration, keys, secrets, replicas, real } = world;
  const names = new Map((ledger?.keys ?? []).map(({ keyID }, index) => [keyID, String.fromCharCode(65 + index)]));
  for (const { spec } of keys.values()) if (!names.has(spec.keyID)) names.set(spec.keyID, `x${names.size}`);
  // A key without a record and an LtiKey matters only if a Secret or a replica still has it.
  const nameOf = (keyID: string | undefined): string => (keyID === undefined ? '-' : (names.get(keyID) ?? '?'));
  const serial = ledger?.serial ?? 0;
  let text = `${world.disturbances}${world.clockAhead / tick}${world.kekMissing ? 'k' : ''}${nameOf(world.damagedKeyID)}`;
  text += `${world.ledgerFault ?? ''}${world.refused ?? ''}${world.generating ?? ''}p${world.pair?.size ?? ''}`;
  if (world.pair) text += nameOf(world.pair.keyID);
  text += object ? statusText(object.status, serial) : `gone${world.seen}`;
  const { overlap, keySize, keyHistoryLimit, keyDistribution, activation, suspend, deliverySecretName } = registration;
  text += definitionText(world);
  text += `|${overlap / tick},${keySize},${keyHistoryLimit},${keyDistribution},${suspend},${deliverySecretName}`;
  text += activation;
  text += `,${registration.deletionPolicy},${registration.issuer === ledger?.issuer}`;
  text += `${registration.rotationTrigger === ledger?.observedRotationTrigger}`;
  text += `${registration.rotateRequest === ledger?.observedRotateRequest}${nameOf(registration.acknowledgedKeyID)}|`;
  for (const { serves, answers } of replicas) text += `${[...serves].map(nameOf).toSorted().join('')}${answers},`;
  for (const key of keys.values()) text += keyText(key, nameOf, serial, world);
  for (const [name, secret] of secrets) {
    const listed = secret.entries['jwks.json']?.split('"kid"').length;
    text += `|${name}${nameOf(secret.keyID)}${listed}${secret.serial > serial}`;
  }
  for (const name of world.taken) text += `!${name}`;
  if (world.unreadable) text += '?';
  if (!ledger) return text;
  const fresh = ledger.keys.at(-1)?.revision === ledger.highestRevision;
  text += `|${fresh}${ledger.deletionPolicy}${ledger.rotationOwed ?? ''}`;
  for (const { secretName, leftAt } of ledger.deliveries)
    text += times ? secretName + ago(leftAt, real, timing.longerOverlap) : secretName;
  for (const row of ledger.keys) text += rowText(row, nameOf, world, times);
  return text + olderText(world, nameOf);
}

/** Whether a deletion can be told from that of the definition, now and with each key that is on record. */
function definitionText({ definition: { createdAt, isTerminating }, appliedAt, swept, ledger }: World): string {
  if (createdAt < epoch && !isTerminating) return '';
  const text = `${isTerminating}${swept}${appliedAt >= createdAt}`;
  return (ledger?.keys ?? []).reduce((sum, { createdAt: made, publishedAt = made, activatedAt = made }) => {
    return sum + String(Math.max(made, publishedAt, activatedAt) > createdAt)[0];
  }, text);
}

function ago(time: Instant | undefined, from: Instant, horizon: Duration): string {
  return time === undefined ? '-' : `${Math.max(time - from, -horizon) / tick}`;
}

type Status = NonNullable<World['object']>['status'];

function statusText(status: Status, serial: number): string {
  if (!status) return 'new';
  return `${(status.ledgerSerial ?? 0) > serial}${status.activeKey !== undefined}${status.phase}`;
}

function keyText({ spec, status }: LtiKey, nameOf: (id: string) => string, serial: number, world: World): string {
  let text = `|${nameOf(spec.keyID)}${status?.state ?? 'bare'}`;
  if (world.left.has(spec.keyID)) text += 'l';
  if (world.registration.revokedKeyIDs.has(spec.keyID)) text += 'r';
  if (!status) return text;
  text += `${(status.ledgerSerial ?? 0) > serial}${status.publishedAt === undefined ? '' : 'p'}`;
  for (const { type, reason } of status.conditions ?? []) text += type[0]! + reason[0]! + reason.length;
  return text;
}

function rowText(key: LedgerKey, nameOf: (id: string) => string, world: World, times: boolean): string {
  const { registration, real, servedSince, signedUntil } = world;
  const { keyID, state, cause, size } = key;
  const text = `|${nameOf(keyID)}${state}${registration.revokedKeyIDs.has(keyID) ? 'r' : ''}`;
  if (isFinal(state)) return `${text}${(key.revokedAt ?? 0) > real - day}${ago(key.absentAt, real, tick)}`;
  if (!times) return `${text}${key.publishedAt !== undefined}${ago(key.revocationSeenAt, real, tick)}`;
  const { activationDelay, longerOverlap, rotateAfter } = timing;
  const parts = [text, size, ago(key.revocationSeenAt, real, tick)];
  parts.push(ago(key.stoppedSigningAt, real, longerOverlap), ago(key.retireAt, real, tick));
  if (state === 'Next') {
    parts.push(cause, ago(key.publishedAt, real, activationDelay), ago(servedSince.get(keyID), real, activationDelay));
    parts.push(fetchText(key, world));
  } else {
    if (state === 'Active') parts.push(`${key.publishedAt === undefined}`, ago(key.activatedAt, real, rotateAfter));
    parts.push(ago(signedUntil.get(keyID), real, longerOverlap));
  }
  return parts.join();
}

/** What is known, and what is true, of fetches since the key was published. */
function fetchText({ publishedAt = -Infinity }: LedgerKey, world: World): string {
  const { registration, lastFetch = -Infinity, fetchReported, object, real } = world;
  if (registration.activation !== 'AfterFetch') return '';
  const recorded = Date.parse(object?.status?.lastFetchTime ?? '');
  return `${lastFetch >= publishedAt}${lastFetch === real}${fetchReported}${recorded >= publishedAt}`;
}

function olderText({ older, ledgerFault }: World, nameOf: (id: string | undefined) => string): string {
  if (!older || ledgerFault !== 'rolledBack') return '';
  return `|o${nameOf(older.activeKeyID)}${older.keys.map((key) => nameOf(key.keyID) + key.state).join('')}`;
}
