import { type Duration, day, type Instant } from '../../../../src/domain/duration.ts';
import { isFinal } from '../../../../src/domain/key-state.ts';
import type { LedgerKey } from '../../../../src/domain/ledger.ts';
import { tick, timing, type World } from './world.ts';

/**
 * One text for all worlds that go on in the same way: keys are named by the order of their revisions, times count from
 * now, and what lies so far back that it no longer matters is one time.
 */
export function canonical(world: World): string {
  const { ledger, registration, faces, secrets, served, real } = world;
  const now = real + world.clockAhead;
  const names = new Map(ledger.keys.map(({ keyID }, index) => [keyID, String.fromCharCode(65 + index)]));
  // Final keys and those that the ledger no longer knows matter only as what a Secret still holds.
  const nameOf = (keyID: string | undefined): string => (keyID === undefined ? '-' : (names.get(keyID) ?? '?'));
  let text = `${world.disturbances}${world.clockAhead / tick}${world.kekMissing ? 'k' : ''}${nameOf(world.damagedKeyID)}|`;
  const { overlap, keySize, keyHistoryLimit, keyDistribution, suspend, deliverySecretName } = registration;
  text += `${overlap / tick},${keySize},${keyHistoryLimit},${keyDistribution},${suspend},${deliverySecretName}|`;
  text += `${registration.rotationTrigger !== ledger.observedRotationTrigger}`;
  text += `${registration.rotateRequest !== ledger.observedRotateRequest}${nameOf(registration.acknowledgedKeyID)}|`;
  const fresh = ledger.keys.at(-1)?.revision === ledger.highestRevision;
  const flags = Object.entries(ledger).flatMap(([name, value]) => (value === true ? [name] : []));
  text += `${ledger.highestRevision === 0}${fresh}${flags.join()}${ledger.deliverySecretNames.join()}|`;
  for (const key of ledger.keys) {
    const { keyID, state } = key;
    text += nameOf(keyID) + state;
    if (isFinal(state)) {
      text += `${(key.revokedAt ?? 0) > now - day}`;
      continue;
    }
    text += `${faces.get(keyID)?.state}${served.has(keyID) ? 's' : ''}`;
    if (registration.revokedKeyIDs.has(keyID)) text += 'r';
    text += liveText(key, now, world);
  }
  for (const [name, { keyID }] of secrets) text += `|${name}${nameOf(keyID)}`;
  return text + earlierText(world, nameOf);
}

function liveText(key: LedgerKey, now: Instant, { servedSince, signedUntil, real }: World): string {
  const { keyID, state, cause, size } = key;
  const { activationDelay, longerOverlap, rotateAfter } = timing;
  const ago = (time: Instant | undefined, from: Instant, horizon: Duration): string =>
    time === undefined ? '-' : `${Math.max(time - from, -horizon) / tick}`;
  const parts = [size, ago(key.revocationSeenAt, now, tick)];
  parts.push(ago(key.stoppedSigningAt, now, longerOverlap), ago(key.retireAt, now, tick));
  if (state === 'Next') {
    parts.push(cause, ago(key.publishedAt, now, activationDelay), ago(servedSince.get(keyID), real, activationDelay));
  } else {
    if (state === 'Active') parts.push(`${key.publishedAt === undefined}`, ago(key.activatedAt, now, rotateAfter));
    parts.push(ago(signedUntil.get(keyID), real, longerOverlap));
  }
  return parts.join();
}

function earlierText({ earlier }: World, nameOf: (keyID: string | undefined) => string): string {
  if (!earlier) return '';
  const { ledger, wanted } = earlier;
  return `|${wanted}${nameOf(ledger.activeKeyID)}${ledger.keys.map((key) => nameOf(key.keyID) + key.state).join('')}`;
}
