import { minute, second } from '../../../../src/domain/duration.ts';
import { activeKey, keysIn, nextKey } from '../../../../src/domain/ledger.ts';
import { isShownPublished } from '../../../../src/domain/ltikeys.ts';
import { epoch } from '../../../builders/ledger.ts';
import { canonical } from './canonical.ts';
import { edited, fetched, synchronizeReplicas, withPair } from './environment.ts';
import { reconcile, type Reconciled } from './executor.ts';
import { isDelivered, isPublished, observed, tick, timing, type World } from './world.ts';

/** What must be reached once all faults are repaired, and within which time a revoked key leaves. */

/** The world without faults, in which users make no edits except the requested acknowledgements. */
export function healed(world: World): World {
  const well: World = {
    ...world,
    ledgerFault: undefined,
    taken: new Set(),
    unreadable: false,
    refused: undefined,
    kekMissing: false,
    damagedKeyID: undefined,
    clockAhead: 0,
    disturbances: 0,
  };
  const { registration, ledger } = well;
  const issuer = ledger?.deletionPolicy === 'Retain' ? (ledger.issuer ?? registration.issuer) : registration.issuer;
  if (registration.overlap >= timing.overlap && !registration.suspend && issuer === registration.issuer) return well;
  return edited(well, { overlap: '20m', suspend: false, issuer });
}

const mostSteps = 60;

/** Follows a repaired world until no operation is in progress; worlds in `known` are known to get there. */
export function settle(start: World, known: Set<string>): World {
  const path: string[] = [];
  let current = healed(start);
  for (let step = 0; step < mostSteps; step++) {
    const text = canonical(current);
    if (known.has(text)) break;
    if (path.includes(text)) throw new Error('the same worlds come again and again, none of them settled');
    path.push(text);
    const reconciled = reconcile(current);
    if (isSettled(current, reconciled)) {
      for (const passed of path) known.add(passed);
      return reconciled.world;
    }
    current = obeyed(synchronizeReplicas(reconciled.world), canonical(reconciled.world) === text);
    if (step === mostSteps - 1) throw new Error('it does not settle');
  }
  for (const text of path) known.add(text);
  return current;
}

function isSettled(before: World, { world, decision }: Reconciled): boolean {
  const { object, ledger, keys, secrets, registration, swept, seen, definition } = world;
  if (!object) {
    const unchanged = ledger === before.ledger && keys === before.keys && secrets === before.secrets;
    if (!unchanged) return false;
    // A process that did not see the deletion needs a ledger that is newer than the definition.
    const isCertain = !swept && (seen || definition.createdAt < epoch);
    if (ledger && registration.deletionPolicy === 'Delete' && isCertain) throw new Error('a removal does not end');
    if (!ledger && keys.size + secrets.size > 0) throw new Error('something is left of a removal');
    return true;
  }
  const condition = (type: string) => decision?.status?.conditions?.find((found) => found.type === type);
  if (condition('Ready')?.status !== 'True' || condition('Reconciling')?.reason !== 'UpToDate') return false;
  return ledger !== undefined && activeKey(ledger) !== undefined && !nextKey(ledger) && isQuiet(world);
}

function isQuiet({ ledger, secrets, registration }: World): boolean {
  const wanted = registration.deliverySecretName === undefined ? 0 : 1;
  return keysIn(ledger!, 'Retiring').length === 0 && secrets.size === wanted;
}

/** Users acknowledge the key that they are asked for, and platforms fetch the key that is held; time passes only if nothing else happens. */
function obeyed(world: World, idle: boolean): World {
  const { registration, ledger, generating } = world;
  if (generating !== undefined) return withPair(world, generating);
  const next = ledger && nextKey(ledger);
  if (
    world.object &&
    next &&
    registration.keyDistribution === 'Manual' &&
    registration.acknowledgedKeyID !== next.keyID
  ) {
    return edited(world, { acknowledgedKeyID: next.keyID });
  }
  const asked = world.object?.status?.conditions?.some(({ reason }) => reason === 'FetchRequired');
  if (idle && asked && world.lastFetch !== world.real) return fetched(world);
  return idle ? observed({ ...world, real: world.real + tick }) : world;
}

/**
 * A key that is or was revoked leaves everywhere within a minute, whatever is broken or rejected: no replacement ever comes, and the
 * operator checks again only if it scheduled a check.
 */
export function checkRevocations(world: World, known: Set<string>): void {
  if (!world.object) return;
  const { activeKeyID } = world.ledger ?? {};
  const shown = [...world.keys.values()].filter(isShownPublished).map(({ spec }) => spec.keyID);
  const delivered = [...world.secrets.values()].flatMap(({ keyID }) => (keyID === undefined ? [] : [keyID]));
  const all = new Set([...shown, ...delivered]);
  if (all.size === 0) return;
  const sets = [[...all], ...(activeKeyID !== undefined && all.size > 1 ? [[activeKeyID]] : [])];
  for (const keyIDs of sets) checkRevocation(world, keyIDs, known);
}

function checkRevocation(world: World, keyIDs: readonly string[], known: Set<string>): void {
  const revokedKeyIDs = [...new Set([...world.registration.revokedKeyIDs, ...keyIDs])];
  // The operator does not write what it cannot read.
  const process = { unreadable: false, generating: undefined, pair: undefined, disturbances: 0 };
  let current = edited({ ...world, ...process }, { revokedKeyIDs });
  const text = canonical(current, false);
  if (known.has(text)) return;
  known.add(text);
  for (const wait of [0, 50 * second]) {
    current = observed({ ...current, real: world.real + wait });
    const { world: after, decision } = reconcile(current, { repeats: false });
    if (revokedKeyIDs.every((keyID) => !isPublished(after, keyID) && !isDelivered(after, keyID))) return;
    if ((decision?.nextCheckAt ?? Infinity) > world.real + minute) break;
    current = after;
  }
  const stays = revokedKeyIDs.find((keyID) => isPublished(current, keyID));
  const held = revokedKeyIDs.find((keyID) => isDelivered(current, keyID));
  throw new Error(
    `a minute after the revocation of ${keyIDs.join(' and ')} ${stays === undefined ? `${held} is delivered` : `${stays} is published`}`,
  );
}
