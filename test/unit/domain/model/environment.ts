import { day } from '../../../../src/domain/duration.ts';
import { plan } from '../../../../src/domain/key-plan.ts';
import { activeKey, keysIn, liveKeys, nextKey } from '../../../../src/domain/ledger.ts';
import type { Registration } from '../../../../src/domain/registration.ts';
import { deliver, gather, ledgerToWrite, showKeys, synchronizeReplicas, writeLedger } from './operator.ts';
import { observed, tick, type World } from './world.ts';

/** Something that may happen next, as a label for the trace and the world after it. */
export type Step = readonly [label: string, world: World];

/** Ten years on the grid: longer than anything counts. */
const ages = 3650 * day;

/**
 * What a controller does that is killed after any of its writes, and a second one that is a ledger write behind. Whoever
 * reads `world` now and writes later is in `lateSteps`.
 */
export function operatorSteps(world: World): Step[] {
  const situation = gather(world);
  const ledger = ledgerToWrite(situation, plan(situation));
  const steps: Step[] = [];
  if (ledger) steps.push(['write the ledger', writeLedger(world, situation.ledger, ledger)!]);
  else if (world.ledger.highestRevision > 0) {
    const shown = showKeys(world, world.ledger);
    steps.push(['show one key and crash', showKeys(world, world.ledger, 1)]);
    steps.push(['show the keys and crash', shown]);
    steps.push(['show the keys and deliver', deliver(shown, world.ledger, world.registration.deliverySecretName)]);
  }
  const { earlier } = world;
  if (earlier && earlier.ledger.highestRevision > 0) {
    steps.push(['a late controller shows keys', showKeys(world, earlier.ledger)]);
    // Out of bounds: it makes a Secret that is not there, perhaps because delivery was stopped meanwhile. Its name is on
    // record, so the next pass removes it or writes it anew.
    const { wanted } = earlier;
    if (wanted === undefined || world.secrets.has(wanted))
      steps.push(['a late controller delivers', deliver(world, earlier.ledger, wanted)]);
  }
  return steps;
}

/** What a controller that decided in `before` does to the ledger in `after`: refused if that was written in between. */
export function lateStep(before: World, after: World): World | undefined {
  const situation = gather(before);
  const ledger = ledgerToWrite(situation, plan(situation));
  return ledger && writeLedger(after, situation.ledger, ledger);
}

/** Time, replicas, faults, people. Healing and answering are free; the rest uses up the disturbances. */
export function environmentSteps(world: World, kinds: readonly Kind[]): Step[] {
  return [...timeSteps(world), ...healingSteps(world), ...(world.disturbances > 0 ? disturbances(world, kinds) : [])];
}

function timeSteps(world: World): Step[] {
  const { earlier: _, ...later } = world;
  const { nextCheckAt, now } = { now: world.real + world.clockAhead, ...plan(gather(world)) };
  const pass = (ticks: number): World => observed({ ...later, real: world.real + ticks * tick });
  const steps: Step[] = [
    ['a tick passes', pass(1)],
    ['ten years pass', pass(ages / tick)],
  ];
  const ticks = nextCheckAt === undefined ? 0 : Math.ceil((nextCheckAt - now) / tick);
  if (ticks > 1) steps.push(['the next check is due', pass(ticks)]);
  return steps;
}

function healingSteps(world: World): Step[] {
  const { registration } = world;
  const steps: Step[] = [['the replicas catch up', synchronizeReplicas(world)]];
  if (world.kekMissing) steps.push(['the KEK is back', { ...world, kekMissing: false }]);
  if (world.damagedKeyID !== undefined) steps.push(['the ledger is restored', { ...world, damagedKeyID: undefined }]);
  if (world.clockAhead !== 0) steps.push(['the clock is right again', { ...world, clockAhead: 0 }]);
  if (registration.suspend) steps.push(['resume', edited(world, { suspend: false })]);
  const next = nextKey(world.ledger);
  if (next && registration.keyDistribution === 'Manual' && registration.acknowledgedKeyID !== next.keyID) {
    steps.push(['acknowledge', edited(world, { acknowledgedKeyID: next.keyID })]);
  }
  return steps;
}

export type Kind = 'edit' | 'delivery' | 'revocation' | 'fault' | 'clock' | 'replica';
export const everyKind: readonly Kind[] = ['edit', 'delivery', 'revocation', 'fault', 'clock', 'replica'];

const disturbancesOf: Readonly<Record<Kind, (world: World) => Step[]>> = {
  edit: (world) => {
    const { rotationTrigger, rotateRequest, keyDistribution, keySize, overlap, keyHistoryLimit } = world.registration;
    return [
      ['change the trigger', edited(world, { rotationTrigger: `${Number(rotationTrigger) + 1}` })],
      ['ask for a rotation', edited(world, { rotateRequest: `${Number(rotateRequest) + 1}` })],
      ['suspend', edited(world, { suspend: true })],
      ['paste keys or not', edited(world, { keyDistribution: keyDistribution === 'Manual' ? 'JWKSURL' : 'Manual' })],
      ['change the size', edited(world, { keySize: keySize === 2048 ? 3072 : 2048 })],
      ['change the overlap', edited(world, { overlap: 3 * tick - overlap })],
      ['cut the overlap below its floor', edited(world, { overlap: 0 })],
      ['change the history limit', edited(world, { keyHistoryLimit: 1 - keyHistoryLimit })],
    ];
  },
  delivery: (world) => {
    const { deliverySecretName, ...rest } = world.registration;
    const other = edited(world, { deliverySecretName: deliverySecretName === 'a' ? 'b' : 'a' });
    const steps: Step[] = [['change the delivery Secret', other]];
    if (deliverySecretName !== undefined) steps.push(['stop delivery', { ...world, registration: rest }]);
    return steps;
  },
  revocation: (world) => revocations(world).map(([label, revokedKeyIDs]) => [label, edited(world, { revokedKeyIDs })]),
  fault: (world) => {
    const steps: Step[] = world.kekMissing ? [] : [['lose the KEK', { ...world, kekMissing: true }]];
    if (world.damagedKeyID !== undefined) return steps;
    const damaged = liveKeys(world.ledger).map(({ keyID }): Step => [
      `damage ${keyID}`,
      { ...world, damagedKeyID: keyID },
    ]);
    return [...steps, ...damaged];
  },
  clock: (world) => {
    if (world.clockAhead !== 0) return [];
    return [
      ['the clock goes back', { ...world, clockAhead: -2 * tick }],
      ['the clock goes ahead', { ...world, clockAhead: 2 * tick }],
    ];
  },
  replica: (world) => {
    const { served } = world;
    const newest = [...served].at(-1);
    if (newest === undefined) return [];
    return [
      ['a replica comes without any key', { ...world, served: new Set() }],
      ['a replica lacks the newest key', { ...world, served: without(served, newest) }],
    ];
  },
};

function disturbances(world: World, kinds: readonly Kind[]): Step[] {
  const worlds = kinds.flatMap((kind) => disturbancesOf[kind](world));
  return worlds.map(([label, after]) => [label, { ...after, disturbances: world.disturbances - 1 }]);
}

/** Each live key, two at once, and a revocation taken back. */
function revocations({ ledger, registration }: World): [string, ReadonlySet<string>][] {
  const live = liveKeys(ledger).map(({ keyID }) => keyID);
  const sets = [...live.map((keyID) => [keyID]), ...(live.length > 1 ? [live.slice(0, 2), live.slice(-2)] : [])];
  const revoked = sets.map((keyIDs): [string, ReadonlySet<string>] => [
    `revoke ${keyIDs.join(' and ')}`,
    new Set([...registration.revokedKeyIDs, ...keyIDs]),
  ]);
  const pending = activeKey(ledger)?.keyID;
  if (pending === undefined || !registration.revokedKeyIDs.has(pending)) return revoked;
  return [...revoked, [`take back the revocation of ${pending}`, without(registration.revokedKeyIDs, pending)]];
}

function without(set: ReadonlySet<string>, member: string): ReadonlySet<string> {
  return new Set([...set].filter((other) => other !== member));
}

function edited(world: World, edit: Partial<Registration>): World {
  return { ...world, registration: { ...world.registration, ...edit } };
}

/** Worlds with more live keys than this are checked but not gone on from. */
export const mostLiveKeys = 3;

export function isWithinBounds({ ledger }: World): boolean {
  return liveKeys(ledger).length <= mostLiveKeys && keysIn(ledger, 'Retired').length <= 2;
}
