import { decide } from '../../../../src/domain/decide.ts';
import { type Decision, type Effect, effectID } from '../../../../src/domain/effects.ts';
import { type Ledger, liveKeys } from '../../../../src/domain/ledger.ts';
import type { KeyMaterial, Refusal, Situation } from '../../../../src/domain/situation.ts';
import { isDeepStrictEqual } from 'node:util';
import { keyMaterialOf, gather } from './gather.ts';
import { checkDecision, checkEffect, checkStatus } from './invariants.ts';
import { observed, type Ours, readableLedger, type World, type WriteKind } from './world.ts';

/**
 * Applies effects to a world as controller/apply.ts does to an API server, without any rule about keys. An object that was replaced
 * since it was read is a conflict.
 */

export interface Progress {
  readonly world: World;
  readonly situation: Situation;
}

const kindOf: Readonly<Record<Effect['kind'], WriteKind | undefined>> = {
  generate: undefined,
  writeLedger: 'ledger',
  removeLedger: 'delete',
  createKey: 'createKey',
  showKey: 'showKey',
  removeKey: 'delete',
  deliver: 'deliver',
  removeDelivery: 'delete',
};

/** The state after the effect; `undefined` on a conflict, after which everything is read again. */
export function carryOut({ world, situation }: Progress, effect: Effect): Progress | undefined {
  const kind = kindOf[effect.kind];
  if (kind !== undefined && kind === world.refused && reachesServer(situation, effect)) {
    const refusal: Refusal = { object: effectID(effect), verb: 'write', kind: 'Refused', because: '403 Forbidden' };
    return {
      world,
      situation: { ...situation, refused: new Map([...situation.refused, [effectID(effect), refusal]]) },
    };
  }
  const after = written({ world, situation }, effect);
  if (after === undefined || after.world === world) return after;
  const known = observed(after.world);
  checkEffect({ before: world, after: known, situation, effect });
  return { world: known, situation: after.situation };
}

/** Some effects turn out to have nothing to write. */
function reachesServer(situation: Situation, effect: Effect): boolean {
  switch (effect.kind) {
    case 'showKey':
    case 'removeKey':
      return situation.ltiKeys.some(({ metadata }) => metadata.name === effect.key.metadata.name);
    case 'removeDelivery':
      return situation.deliveries.get(effect.secretName)?.kind === 'ours';
    case 'removeLedger':
      return situation.ledger.kind === 'present';
    default:
      return true;
  }
}

function written(at: Progress, effect: Effect): Progress | undefined {
  const { world, situation } = at;
  switch (effect.kind) {
    case 'generate':
      return { world: { ...world, generating: effect.size }, situation: { ...situation, generating: true } };
    case 'writeLedger':
      return writeLedger(at, effect);
    case 'removeLedger': {
      if (situation.ledger.kind !== 'present') return at;
      if (readableLedger(world) !== situation.ledger.ledger) return undefined;
      const none = { ledger: undefined, older: undefined, ledgerFault: undefined };
      return {
        world: { ...world, ...none },
        situation: { ...situation, ledger: { kind: 'absent' }, keyMaterial: new Map() },
      };
    }
    case 'createKey': {
      if (world.keys.has(effect.key.metadata.name)) return undefined;
      const { status: _, ...bare } = effect.key;
      return withLtiKey(at, bare);
    }
    case 'showKey': {
      const current = situation.ltiKeys.find(({ metadata }) => metadata.name === effect.key.metadata.name);
      if (!current || !effect.key.status) return at;
      if (world.keys.get(current.metadata.name) !== current) return undefined;
      return withLtiKey(at, { ...current, status: effect.key.status });
    }
    case 'removeKey': {
      const { name } = effect.key.metadata;
      const current = situation.ltiKeys.find(({ metadata }) => metadata.name === name);
      const stored = world.keys.get(name);
      if (current && stored && stored !== current) return undefined;
      const ltiKeys = situation.ltiKeys.filter((other) => other !== current);
      if (!current || !stored) return { world, situation: { ...situation, ltiKeys } };
      const keys = new Map([...world.keys].filter(([other]) => other !== name));
      return { world: { ...world, keys }, situation: { ...situation, ltiKeys } };
    }
    case 'deliver':
      return deliver(at, effect);
    default: {
      const read = situation.deliveries.get(effect.secretName);
      const stored = world.secrets.get(effect.secretName);
      if (read?.kind === 'ours' && stored && stored !== read) return undefined;
      const deliveries = new Map([...situation.deliveries, [effect.secretName, { kind: 'absent' } as const]]);
      const secrets = new Map([...world.secrets].filter(([name]) => name !== effect.secretName));
      const removes = read?.kind === 'ours' && stored !== undefined;
      return { world: removes ? { ...world, secrets } : world, situation: { ...situation, deliveries } };
    }
  }
}

type EffectOf<Kind extends Effect['kind']> = Extract<Effect, { kind: Kind }>;

function writeLedger({ world, situation }: Progress, effect: EffectOf<'writeLedger'>): Progress | undefined {
  const { ledger } = effect;
  const read = situation.ledger.kind === 'present' ? situation.ledger.ledger : undefined;
  if (readableLedger(world) !== read || (!read && world.ledgerFault === 'corrupt')) return undefined;
  const { pair, generating: _, ...without } = situation;
  const sealed = effect.pair && pair ? [pair.facts.keyID] : [];
  const live = new Set(liveKeys(ledger).map(({ keyID }) => keyID));
  const keyMaterial = new Map<string, KeyMaterial>([
    ...[...situation.keyMaterial].filter(([keyID]) => live.has(keyID)),
    ...sealed.map((keyID): [string, KeyMaterial] => [keyID, keyMaterialOf(world, keyID)]),
  ]);
  const memory = effect.pair ? { pair: undefined, generating: undefined } : {};
  return {
    world: { ...world, ...memory, ledger, older: read, ledgerFault: undefined },
    situation: { ...(effect.pair ? without : situation), ledger: { kind: 'present', ledger }, keyMaterial },
  };
}

function withLtiKey({ world, situation }: Progress, key: Situation['ltiKeys'][number]): Progress {
  const { name } = key.metadata;
  return {
    world: { ...world, keys: new Map([...world.keys, [name, key]]) },
    situation: { ...situation, ltiKeys: [...situation.ltiKeys.filter(({ metadata }) => metadata.name !== name), key] },
  };
}

function deliver({ world, situation }: Progress, { content }: EffectOf<'deliver'>): Progress | undefined {
  const { secretName, keyID, keyFiles, entries, metadata, serial } = content;
  if (keyID !== undefined) {
    const ledger: Ledger | undefined = situation.ledger.kind === 'present' ? situation.ledger.ledger : undefined;
    const sealed = ledger !== undefined && liveKeys(ledger).some((key) => key.keyID === keyID);
    const keyMaterial = keyMaterialOf(world, keyID);
    if (!sealed || !keyMaterial.opens)
      return {
        world,
        situation: { ...situation, keyMaterial: new Map([...situation.keyMaterial, [keyID, keyMaterial]]) },
      };
  }
  const read = situation.deliveries.get(secretName);
  const existing = read?.kind === 'ours' ? read : undefined;
  if (world.taken.has(secretName) || world.secrets.get(secretName) !== existing) return undefined;
  const secret: Ours = {
    kind: 'ours',
    ...(entries['kid'] === undefined ? {} : { keyID: entries['kid'] }),
    intact: true,
    serial,
    keyFiles,
    entries,
    metadata: {
      labels: { ...existing?.metadata.labels, ...metadata.labels },
      annotations: { ...existing?.metadata.annotations, ...metadata.annotations },
    },
    lastApplied: false,
  };
  return {
    world: { ...world, secrets: new Map([...world.secrets, [secretName, secret]]) },
    situation: { ...situation, deliveries: new Map([...situation.deliveries, [secretName, secret]]) },
  };
}

export interface Reconciled {
  readonly world: World;
  /** The last decision and its situation; absent if nothing of the registration is left. */
  readonly decision?: Decision;
  readonly situation?: Situation;
}

export interface ReconcileOptions {
  /** Called with every intermediate world, in which the process may be killed. */
  readonly crash?: (effect: string, world: World) => void;
  /** Whether to repeat the last decision, now and just before the next check. */
  readonly repeats?: boolean;
}

/** More than any sequence of steps needs. */
const mostPasses = 20;

/** A complete, undisturbed reconcile, as in controller/reconcile.ts. */
export function reconcile(start: World, { crash, repeats = true }: ReconcileOptions = {}): Reconciled {
  const situation = gather(start);
  if (!situation) return { world: start };
  let at: Progress = { world: start, situation };
  for (let pass = 0; pass < mostPasses; pass++) {
    const decision = decide(at.situation);
    const effects = effectsToCarryOut(decision, at.situation);
    if (effects.length === 0) {
      if (repeats) checkDecision(at.situation, decision);
      checkStatus(at.world, at.situation, decision);
      return { world: showStatus(at.world, at.situation, decision), decision, situation: at.situation };
    }
    at = carryOutAll(at, effects, crash);
  }
  throw new Error('the decision does not settle');
}

export function effectsToCarryOut({ effects }: Decision, { refused }: Situation): readonly Effect[] {
  return effects.filter((effect) => !refused.has(effectID(effect)));
}

function carryOutAll(
  start: Progress,
  effects: readonly Effect[],
  crash?: (effect: string, world: World) => void,
): Progress {
  let at = start;
  for (const effect of effects) {
    const next = carryOut(at, effect);
    if (!next) throw new Error(`a controller that is alone has a conflict: ${effectID(effect)}`);
    if (next.world !== at.world) crash?.(effectID(effect), next.world);
    const isRefused = next.situation.refused.has(effectID(effect));
    at = next;
    // The effects that follow depend on the ledger that was not written.
    if (isRefused && effect.kind === 'writeLedger') return at;
  }
  return at;
}

/** The worlds after each effect of a controller that decided in `before` and acts in `after`, until a conflict. */
export function actLate(before: World, after: World): readonly (readonly [effect: string, world: World])[] {
  const situation = gather(before);
  if (!situation) return [];
  const worlds: (readonly [string, World])[] = [];
  let at: Progress | undefined = { world: after, situation };
  for (const effect of effectsToCarryOut(decide(situation), situation)) {
    if (effect.kind === 'generate') break;
    const next: Progress | undefined = carryOut(at, effect);
    if (!next || next.situation.refused.size > 0) break;
    if (next.world !== at.world) worlds.push([effectID(effect), next.world]);
    at = next;
  }
  return worlds;
}

function showStatus(world: World, { registration }: Situation, { status }: Decision): World {
  if (!status || !world.object || registration.kind !== 'present' || registration.object !== world.object) return world;
  const { object } = world;
  if (world.refused === 'status' || (object.status?.ledgerSerial ?? 0) > (status.ledgerSerial ?? 0)) return world;
  if (isDeepStrictEqual({ ...object.status, ledgerSerial: 0 }, { ...status, ledgerSerial: 0 })) return world;
  return { ...world, object: { ...object, status } };
}
