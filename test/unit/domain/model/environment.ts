import { day } from '../../../../src/domain/duration.ts';
import { keysIn, liveKeys, nextKey } from '../../../../src/domain/ledger.ts';
import { isShownPublished } from '../../../../src/domain/ltikeys.ts';
import { readRegistration } from '../../../../src/domain/registration.ts';
import { keyIDOf } from '../../../builders/ledger.ts';
import type { PublicJwk } from '../../../../src/domain/public-jwk.ts';
import { rotateRequestedAtAnnotation } from '../../../../src/api/names.ts';
import {
  observed,
  readableLedger,
  type Replica,
  type Spec,
  tick,
  type World,
  type WriteKind,
  writeKinds,
} from './world.ts';

/** Something that may happen next: a label for the trace, and the world after it. */
export type Step = readonly [label: string, world: World];

/** Ten years on the grid: longer than every period. */
const ages = 3650 * day;

/** Time, replicas, faults and users. Repairs and answers are free; everything else uses up a disturbance. */
export function environmentSteps(world: World, kinds: readonly Kind[]): Step[] {
  return [...timeSteps(world), ...healingSteps(world), ...(world.disturbances > 0 ? disturbances(world, kinds) : [])];
}

function timeSteps(world: World): Step[] {
  return [
    ['a tick passes', later(world, 1)],
    ['ten years pass', later(world, ages / tick)],
  ];
}

export function later(world: World, ticks: number): World {
  return observed({ ...world, real: world.real + ticks * tick });
}

function healingSteps(world: World): Step[] {
  const { registration, ledger, object, generating } = world;
  const steps: Step[] = [
    ['the replicas catch up', synchronizeReplicas(world)],
    ['one replica catches up', synchronizeReplicas(world, 1)],
  ];
  if (generating !== undefined) steps.push(['the key pair is ready', withPair(world, generating)]);
  if (world.kekMissing) steps.push(['the KEK is back', { ...world, kekMissing: false }]);
  if (world.damagedKeyID !== undefined)
    steps.push(['the sealed key is restored', { ...world, damagedKeyID: undefined }]);
  if (world.ledgerFault !== undefined) steps.push(['the ledger is restored', { ...world, ledgerFault: undefined }]);
  if (world.clockAhead !== 0) steps.push(['the clock is right again', { ...world, clockAhead: 0 }]);
  if (world.refused !== undefined) steps.push(['nothing is refused any more', { ...world, refused: undefined }]);
  if (world.unreadable) steps.push(['Secrets can be read again', { ...world, unreadable: false }]);
  if (world.taken.size > 0) steps.push(['the foreign Secret is gone', { ...world, taken: new Set() }]);
  if (world.definition.isTerminating) steps.push(['the definition is installed again', reinstalled(world)]);
  if (!object) return steps;
  if (registration.suspend) steps.push(['resume', edited(world, { suspend: false })]);
  const next = ledger && nextKey(ledger);
  if (next && registration.keyDistribution === 'Manual' && registration.acknowledgedKeyID !== next.keyID) {
    steps.push(['acknowledge', edited(world, { acknowledgedKeyID: next.keyID })]);
  }
  if (next && registration.activation === 'AfterFetch') steps.push(['a client fetches the document', fetched(world)]);
  return steps;
}

export function fetched(world: World): World {
  return { ...world, lastFetch: world.real, fetchReported: true };
}

function reinstalled(world: World): World {
  const after = later(world, 1);
  return { ...after, definition: { ...world.definition, createdAt: after.real, isTerminating: false } };
}

/** The memory of the process is lost. */
export function restarted(world: World): World {
  return { ...world, generating: undefined, pair: undefined, seen: world.object !== undefined };
}

export function withPair(world: World, size: number): World {
  const keyID = keyIDOf(world.made + 1);
  const publicJWK: PublicJwk = { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n: `n-${keyID}`, e: 'AQAB' };
  const pair = { keyID, algorithm: 'RS256' as const, size, publicJWK };
  return { ...world, generating: undefined, pair, made: world.made + 1 };
}

/** The first `count` replicas serve what the LtiKeys show. */
export function synchronizeReplicas(world: World, count = Infinity): World {
  const serves = new Set([...world.keys.values()].flatMap((key) => (isShownPublished(key) ? [key.spec.keyID] : [])));
  const replicas = world.replicas.map((replica, index): Replica =>
    index < count ? { serves, answers: true } : replica,
  );
  return observed({ ...world, replicas });
}

export type Kind =
  | 'edit'
  | 'delivery'
  | 'revocation'
  | 'fault'
  | 'ledger'
  | 'refusal'
  | 'clock'
  | 'replica'
  | 'removal'
  | 'definition'
  | 'foreign'
  | 'fetch'
  | 'reading';

const disturbancesOf: Readonly<Record<Kind, (world: World) => Step[]>> = {
  edit: (world) => {
    const { rotationTrigger, rotateRequest, keyDistribution, keySize, overlap, keyHistoryLimit } = world.registration;
    const request = { [rotateRequestedAtAnnotation]: `${Number(rotateRequest ?? 0) + 1}` };
    return [
      ['change the trigger', edited(world, { rotationTrigger: `${Number(rotationTrigger) + 1}` })],
      ['ask for a rotation', edited(world, {}, request)],
      ['suspend', edited(world, { suspend: true })],
      ['paste keys or not', edited(world, { keyDistribution: keyDistribution === 'Manual' ? 'JWKSURL' : 'Manual' })],
      ['change the size', edited(world, { key: { algorithm: 'RS256', size: keySize === 2048 ? 3072 : 2048 } })],
      ['change the overlap', edited(world, { overlap: overlap === tick ? '40m' : '20m' })],
      ['cut the overlap below its floor', edited(world, { overlap: '0s' })],
      ['change the history limit', edited(world, { keyHistoryLimit: 1 - keyHistoryLimit })],
    ];
  },
  delivery: (world) => {
    const { deliverySecretName } = world.registration;
    const other = { secretName: deliverySecretName === 'a' ? 'b' : 'a' };
    const steps: Step[] = [['change the delivery Secret', edited(world, { delivery: other })]];
    if (deliverySecretName !== undefined) steps.push(['stop delivery', edited(world, { delivery: undefined })]);
    return steps;
  },
  revocation: (world) =>
    revocations(world).map(([label, revokedKeyIDs]) => [label, edited(world, { revokedKeyIDs: [...revokedKeyIDs] })]),
  fault: (world) => {
    const steps: Step[] = world.kekMissing ? [] : [['lose the KEK', { ...world, kekMissing: true }]];
    if (world.damagedKeyID !== undefined || !world.ledger) return steps;
    const damaged = liveKeys(world.ledger).map(({ keyID }): Step => [
      `damage ${keyID}`,
      { ...world, damagedKeyID: keyID },
    ]);
    return [...steps, ...damaged];
  },
  // A lost ledger without a trace is as if it had never existed; the status always proves an older one.
  ledger: (world) => {
    const { ledger, ledgerFault, older, object, keys } = world;
    if (!ledger || ledgerFault !== undefined) return [];
    const seen = Math.max(
      object?.status?.ledgerSerial ?? 0,
      ...[...keys.values()].map(({ status }) => status?.ledgerSerial ?? 0),
    );
    const steps: Step[] = [['the ledger is corrupt', { ...world, ledgerFault: 'corrupt' }]];
    if (seen > 0) steps.push(['the ledger is deleted', { ...world, ledgerFault: 'missing' }]);
    if (older && (object?.status?.ledgerSerial ?? 0) > older.serial)
      steps.push(['an old ledger is restored', { ...world, ledgerFault: 'rolledBack' }]);
    return steps;
  },
  refusal: (world) => (world.refused === undefined ? writeKinds.map((kind) => refuse(world, kind)) : []),
  clock: (world) => {
    if (world.clockAhead !== 0) return [];
    return [
      ['the clock goes back', { ...world, clockAhead: -2 * tick }],
      ['the clock goes ahead', { ...world, clockAhead: 2 * tick }],
    ];
  },
  replica: (world) => {
    const [first, second] = world.replicas as readonly [Replica, Replica];
    const everything = new Set([...world.keys.values()].map(({ spec }) => spec.keyID));
    const steps: Step[] = [
      ['a replica comes without any key', { ...world, replicas: [first, { serves: new Set(), answers: true }] }],
      [
        'a replica serves what it served long ago',
        { ...world, replicas: [first, { serves: everything, answers: true }] },
      ],
    ];
    if (second.answers)
      steps.push(['a replica gives no answer', { ...world, replicas: [first, { ...second, answers: false }] }]);
    return steps;
  },
  removal: (world) => {
    const { object, registration } = world;
    if (!object) {
      if (world.definition.isTerminating) return [];
      const again = appliedAgain(world);
      return [
        ['it is applied again', again],
        ['it is applied again for another platform', edited(again, { issuer: `${registration.issuer}/other` })],
      ];
    }
    const policy = registration.deletionPolicy === 'Delete' ? 'Retain' : 'Delete';
    const steps: Step[] = [['change the deletion policy', edited(world, { deletionPolicy: policy })]];
    // An admission policy rejects the deletion of a registration whose newest spec the operator has not seen.
    if (object.status?.observedGeneration !== object.metadata.generation) return steps;
    return [
      ...steps,
      ['it is deleted', { ...world, object: undefined, seen: true }],
      ['it is deleted while the operator is down', restarted({ ...world, object: undefined })],
    ];
  },
  fetch: (world) => {
    const { activation, keyDistribution } = world.registration;
    const other = activation === 'AfterFetch' ? 'AfterDelay' : 'AfterFetch';
    const next = world.ledger && nextKey(world.ledger);
    const steps: Step[] = [['the replicas forget when they were fetched', { ...world, fetchReported: false }]];
    if (keyDistribution !== 'Manual') steps.push(['wait for fetches or not', edited(world, { activation: other })]);
    if (next && activation === 'AfterFetch')
      steps.push(['release the next key', edited(world, { acknowledgedKeyID: next.keyID })]);
    return steps;
  },
  reading: (world) => (world.unreadable ? [] : [['delivery Secrets cannot be read', { ...world, unreadable: true }]]),
  // The API server deletes the objects of a definition past admission policies. An edit that the operator has not seen is lost with them.
  definition: (world) => {
    const { object, swept, definition } = world;
    if (!object) return swept && !definition.isTerminating ? [['it is applied again', appliedAgain(world)]] : [];
    if (object.status?.observedGeneration !== object.metadata.generation) return [];
    const terminating = { ...definition, isTerminating: true };
    const gone = { ...world, object: undefined, swept: true, definition: terminating };
    return [
      ['the definition is deleted', { ...gone, seen: true }],
      ['the definition is deleted while the operator is down', restarted(gone)],
    ];
  },
  foreign: (world) => {
    const name = world.registration.deliverySecretName;
    if (name === undefined || world.secrets.has(name) || world.taken.has(name)) return [];
    return [['another client makes the Secret', { ...world, taken: new Set([name]) }]];
  },
};

function appliedAgain(world: World): World {
  const { status: _, ...bare } = world.last;
  return { ...world, object: bare, seen: true, appliedAt: world.real, swept: false };
}

function refuse(world: World, refused: WriteKind): Step {
  return [`the API server refuses every ${refused} write`, { ...world, refused }];
}

function disturbances(world: World, kinds: readonly Kind[]): Step[] {
  const worlds = kinds.flatMap((kind) => disturbancesOf[kind](world));
  return worlds.map(([label, after]) => [label, observed({ ...after, disturbances: world.disturbances - 1 })]);
}

/** The revocation of each live key, of all of them at once, and a withdrawn revocation. */
function revocations({ ledger, keys, registration, object }: World): [string, ReadonlySet<string>][] {
  if (!object) return [];
  const { revokedKeyIDs } = registration;
  const shown = [...keys.values()].filter(isShownPublished).map(({ spec }) => spec.keyID);
  const live = shown.filter((keyID) => !revokedKeyIDs.has(keyID));
  const sets = [...live.map((keyID) => [keyID]), ...(live.length > 1 ? [live] : [])];
  const revoked = sets.map((keyIDs): [string, ReadonlySet<string>] => [
    `revoke ${keyIDs.join(' and ')}`,
    new Set([...revokedKeyIDs, ...keyIDs]),
  ]);
  const pending = ledger?.activeKeyID;
  if (pending === undefined || !revokedKeyIDs.has(pending)) return revoked;
  const others = new Set([...revokedKeyIDs].filter((keyID) => keyID !== pending));
  return [...revoked, [`take back the revocation of ${pending}`, others]];
}

type Edit = { readonly [Field in keyof Spec]?: Spec[Field] | undefined };

export function edited(world: World, edit: Edit, annotations: Readonly<Record<string, string>> = {}): World {
  const { object } = world;
  if (!object) return world;
  const spec = Object.fromEntries(
    Object.entries({ ...object.spec, ...edit }).filter(([, value]) => value !== undefined),
  );
  const { metadata } = object;
  const changed = {
    ...object,
    metadata: {
      ...metadata,
      generation: (metadata.generation ?? 0) + 1,
      annotations: { ...metadata.annotations, ...annotations },
    },
    // oxlint-disable-next-line no-unsafe-type-assertion -- an edit removes optional fields alone
    spec: spec as unknown as Spec,
  };
  return observed({ ...world, object: changed, last: changed, registration: readRegistration(changed) });
}

/** Worlds with more live keys than this are checked, but the search does not continue from them. */
export const maximumLiveKeys = 3;

export function isWithinBounds(world: World): boolean {
  const { ledger } = world;
  if (!ledger) return true;
  const live = Math.max(liveKeys(ledger).length, liveKeys(readableLedger(world) ?? ledger).length);
  return live <= maximumLiveKeys && keysIn(ledger, 'Retired').length <= 2 && keysIn(ledger, 'Revoked').length <= 2;
}
