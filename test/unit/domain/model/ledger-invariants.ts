import { minute } from '../../../../src/domain/duration.ts';
import { activeKey, emptyLedger, type Ledger, type LedgerKey, liveKeys } from '../../../../src/domain/ledger.ts';
import type { Situation } from '../../../../src/domain/situation.ts';
import { limits, type World } from './world.ts';

/** What must hold for every write of the ledger, whatever its reason. */

/** The state diagram, independent of src/domain/key-state.ts. */
const legalMoves = new Set([
  'Next Active',
  'Next Retired',
  'Next Revoked',
  'Active Retiring',
  'Active Revoked',
  // In one write, another key became the signing key and the overlap ended.
  'Active Retired',
  'Retiring Active',
  'Retiring Retired',
  'Retiring Revoked',
]);

/** Twice the tolerated clock difference. */
const slack = 10 * minute;

/** What is wrong with the ledger of `after`, which was decided in `situation` and replaced the one of `before`. */
export function checkWrite(before: World, after: World, situation: Situation): string | undefined {
  const { registration } = before;
  const old = before.ledger ?? emptyLedger(registration.namespace, registration.name);
  const ledger = after.ledger!;
  if (ledger.serial !== old.serial + 1) return 'the serial does not go up by one';
  if (!pointsAtItsOnlyActiveKey(ledger)) return 'the ledger does not point at its only Active key';
  if (ledger.keys.filter(({ state }) => state === 'Next').length > 1) return 'two keys wait to sign';
  if (new Set(ledger.keys.map(({ keyID }) => keyID)).size < ledger.keys.length) return 'two keys have one key ID';
  const signed = activeKey(old);
  if (signed && !activeKey(ledger) && !wasToLeave(situation, before, signed)) return 'no key signs any more';
  if (old.issuer !== undefined && ledger.issuer !== old.issuer) return 'the keys go to another platform';
  if (ledger.highestRevision > old.highestRevision) {
    const damage = before.damagedKeyID;
    const lost = damage !== undefined && !registration.revokedKeyIDs.has(damage) && isLive(old, damage);
    if (before.kekMissing || lost) return 'a key was made because of a fault';
    if (ledger.highestRevision !== old.highestRevision + 1) return 'a revision was skipped';
  }
  for (const was of old.keys) {
    const fault = checkRow(before, after, situation, was);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function checkRow(before: World, after: World, situation: Situation, was: LedgerKey): string | undefined {
  const found = after.ledger!.keys.find(({ keyID }) => keyID === was.keyID);
  // A pruned row became final in the same write.
  const state = wasToLeave(situation, before, was) ? 'Revoked' : 'Retired';
  const is: LedgerKey = found ?? { ...was, state: isLive(before.ledger!, was.keyID) ? state : was.state };
  if (is.size !== was.size || is.revision !== was.revision || is.createdAt !== was.createdAt) return 'facts changed';
  return is.state === was.state ? undefined : checkMove(before, after, situation, [was, is]);
}

function checkMove(
  before: World,
  after: World,
  situation: Situation,
  [was, is]: readonly [LedgerKey, LedgerKey],
): string | undefined {
  const { keyID } = was;
  if (!legalMoves.has(`${was.state} ${is.state}`)) return `${keyID}: ${was.state} to ${is.state}`;
  switch (is.state) {
    case 'Active':
      return checkActivation(before, situation, is);
    case 'Revoked':
      return wasToLeave(situation, before, was) ? undefined : `${keyID} was revoked without a request`;
    case 'Retired':
      return checkRetirement(before, after, situation, was);
    default:
      return undefined;
  }
}

function checkActivation(before: World, situation: Situation, is: LedgerKey): string | undefined {
  const { keyID } = is;
  const { registration: read } = situation;
  const registration = read.kind === 'present' ? before.registration : undefined;
  if (!registration) return `${keyID} was activated without a registration`;
  if (isSkewed(situation)) return `${keyID} was activated while the clock was wrong`;
  if (!situation.observation.servedKeyIDs.has(keyID)) return `${keyID} was activated without being served`;
  if (!before.servedSince.has(keyID)) return `${keyID} was activated and never served by all`;
  if (situation.keyMaterial.get(keyID)?.opens !== true) return `${keyID} was activated and does not open`;
  if (read.kind === 'present' && wanted(situation).has(keyID)) return `${keyID} is revoked and was activated`;
  const signed = before.ledger?.activeKeyID;
  if (signed === undefined || wanted(situation).has(signed)) return undefined;
  const spec = read.kind === 'present' ? read.object.spec : undefined;
  if (spec?.suspend) return `${keyID} was activated while suspended`;
  const since = before.servedSince.get(keyID) ?? Infinity;
  if (before.real - since < registration.activationDelay - slack) return `${keyID} was activated before its delay`;
  const released = spec?.acknowledgedKeyID === keyID;
  if (spec?.keyDistribution === 'Manual') return released ? undefined : `${keyID} was activated unacknowledged`;
  const awaits = spec?.activation === 'AfterFetch' && is.cause !== 'Revocation' && !released;
  const fetched = before.lastFetch !== undefined && before.lastFetch >= (is.publishedAt ?? Infinity);
  return awaits && !fetched ? `${keyID} was activated before a client fetched it` : undefined;
}

function checkRetirement(before: World, after: World, situation: Situation, was: LedgerKey): string | undefined {
  const { keyID } = was;
  const { registration: read } = situation;
  const spec = read.kind === 'present' ? read.object.spec : undefined;
  if (was.state === 'Next') return was.size === spec?.key?.size ? `${keyID} was discarded` : undefined;
  if (isSkewed(situation)) return `${keyID} was retired while the clock was wrong`;
  if (spec?.suspend) return `${keyID} was retired while suspended`;
  const asked = read.kind === 'present' && !('reason' in read.registration) ? read.registration.overlap : 0;
  const overlap = Math.max(asked, limits.minimumOverlap);
  const until = after.signedUntil.get(keyID) ?? -Infinity;
  return before.real - until < overlap - slack ? `${keyID} was removed before its overlap was over` : undefined;
}

function isSkewed({ clockSkew }: Situation): boolean {
  return Math.abs(clockSkew) > 5 * minute;
}

/** The revocations that the situation has. */
function wanted({ registration: read }: Situation): ReadonlySet<string> {
  return new Set(read.kind === 'present' ? read.object.spec.revokedKeyIDs : []);
}

/** Whether the situation requests the revocation of the key, or it had begun before. */
function wasToLeave(situation: Situation, { registration }: World, key: LedgerKey): boolean {
  const { registration: read } = situation;
  if (read.kind === 'present') return wanted(situation).has(key.keyID);
  return registration.revokedKeyIDs.has(key.keyID) || key.revocationSeenAt !== undefined;
}

function pointsAtItsOnlyActiveKey(ledger: Ledger): boolean {
  const active = ledger.keys.filter(({ state }) => state === 'Active');
  return active.length <= 1 && active[0]?.keyID === ledger.activeKeyID;
}

function isLive(ledger: Ledger, keyID: string): boolean {
  return liveKeys(ledger).some((key) => key.keyID === keyID);
}
