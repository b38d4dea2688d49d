import { minute } from '../../../../src/domain/duration.ts';
import { activeKey, keysIn, nextKey } from '../../../../src/domain/ledger.ts';
import { registrationStatus } from '../../../../src/domain/projection.ts';
import { canonical } from './canonical.ts';
import { reconcile, synchronizeReplicas } from './operator.ts';
import { signing, tick, timing, type World } from './world.ts';

/** What has to come about once everything is well, and within which time a revoked key is gone. */

/** The world with every fault gone, and with people who have stopped editing and paste what they are asked to. */
export function healed(world: World): World {
  const { earlier: _, ...rest } = world;
  const { registration } = world;
  const overlap = Math.max(registration.overlap, timing.overlap);
  return {
    ...rest,
    registration: { ...registration, overlap, suspend: false },
    kekMissing: false,
    damagedKeyID: undefined,
    clockAhead: 0,
    disturbances: 0,
  };
}

const mostSteps = 40;

/** Follows a healed world until one key signs and nothing is under way; worlds in `known` are known to get there. */
export function checkSettles(start: World, known: Set<string>): string | undefined {
  const path: string[] = [];
  let current = healed(start);
  for (let step = 0; step < mostSteps; step++) {
    const text = canonical(current);
    if (known.has(text)) break;
    if (path.includes(text)) return 'the same worlds come again and again, none of them settled';
    path.push(text);
    const { world, situation, plan } = reconcile(current);
    const reconciling = registrationStatus({ situation, plan }, undefined).conditions?.find(
      ({ type }) => type === 'Reconciling',
    );
    const settled = reconciling?.reason === 'Settled' && activeKey(world.ledger) && !nextKey(world.ledger);
    if (settled && keysIn(world.ledger, 'Retiring').length === 0) break;
    current = obeyed(synchronizeReplicas(world), canonical(world) === text);
    if (step === mostSteps - 1) return 'it does not settle';
  }
  for (const text of path) known.add(text);
  return undefined;
}

/** People paste the key they are asked for; time passes only where nothing else happens. */
function obeyed(world: World, idle: boolean): World {
  const next = nextKey(world.ledger);
  const { registration } = world;
  if (next && registration.keyDistribution === 'Manual' && registration.acknowledgedKeyID !== next.keyID) {
    return { ...world, registration: { ...registration, acknowledgedKeyID: next.keyID } };
  }
  return idle ? { ...world, real: world.real + tick } : world;
}

/** A signing key that is revoked now is out everywhere within a minute, replacement or not, whatever is broken. */
export function checkRevocation(world: World): string | undefined {
  const keyID = world.ledger.activeKeyID;
  const { registration } = world;
  if (keyID === undefined || registration.revokedKeyIDs.has(keyID)) return undefined;
  const revokedKeyIDs = new Set([...registration.revokedKeyIDs, keyID]);
  let current: World = { ...world, registration: { ...registration, revokedKeyIDs } };
  const deadline = world.real + minute;
  for (;;) {
    const { world: after, situation, plan } = reconcile(current);
    const wait = (plan.nextCheckAt ?? Infinity) - situation.now;
    current = { ...after, real: after.real + wait };
    if (after.ledger.activeKeyID !== keyID) {
      const shown = after.faces.get(keyID)?.state ?? 'Revoked';
      if (shown !== 'Revoked') return `${keyID} is revoked and shown as ${shown}`;
      return signing(after).includes(keyID) ? `${keyID} is revoked and still delivered` : undefined;
    }
    if (current.real > deadline) return `${keyID} is revoked and still signs after a minute`;
  }
}
