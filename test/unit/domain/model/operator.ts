import { publishedStates } from '../../../../src/domain/jwk.ts';
import { plan, type Plan, withKey } from '../../../../src/domain/key-plan.ts';
import { activeKey, type Ledger, liveKeys } from '../../../../src/domain/ledger.ts';
import { keyObject } from '../../../../src/domain/projection.ts';
import type { Custody, Situation } from '../../../../src/domain/situation.ts';
import { keyFacts, keyIDOf } from '../../../builders/ledger.ts';
import { damaged, noKek, opens } from '../../../builders/situation.ts';
import { type Delivered, limits, observed, type World } from './world.ts';

/**
 * A controller on the model's world: the shipping decisions, between reads and writes that behave as the API server's
 * (compare-and-set of the ledger) and src/controllers' (no face and no delivery Secret goes back to a lower serial) do.
 */

/** As controllers/ltiregistration/gather.ts. */
export function gather(world: World): Situation {
  const { registration, ledger, faces, served, secrets, kekMissing, damagedKeyID } = world;
  const custody = new Map<string, Custody>();
  const servedKeyIDs = new Set<string>();
  for (const { keyID } of liveKeys(ledger)) {
    custody.set(keyID, kekMissing ? noKek : keyID === damagedKeyID ? damaged : opens);
    const face = faces.get(keyID);
    if (face && publishedStates.has(face.state) && served.has(keyID)) servedKeyIDs.add(keyID);
  }
  const wanted = registration.deliverySecretName;
  const held = wanted === undefined ? undefined : secrets.get(wanted)?.keyID;
  const leftovers = ledger.deliverySecretNames.filter((name) => name !== wanted && secrets.has(name));
  return {
    registration,
    ledger,
    custody,
    observation: { servedKeyIDs, detail: '', cacheLifetime: 0 },
    delivery: { leftovers, ...(held === undefined ? {} : { keyID: held }) },
    ...(kekMissing ? { sealingFault: noKek } : {}),
    clockSkew: world.clockAhead,
    limits,
    now: world.real + world.clockAhead,
  };
}

/** The next write of the ledger that `decision` asks for, if any. */
export function ledgerToWrite(situation: Situation, decision: Plan): Ledger | undefined {
  const { ledger } = situation;
  if (decision.transitions.length > 0 && ledger.highestRevision > 0) return decision.ledger;
  if (!decision.generate) return undefined;
  const { cause, size } = decision.generate;
  return withKey(situation, keyFacts(keyIDOf(ledger.highestRevision + 1), size), cause);
}

/** The world with the ledger replaced, or `undefined` where it is no longer the one that was read: 409. */
export function writeLedger(world: World, read: Ledger, ledger: Ledger): World | undefined {
  if (world.ledger.serial !== read.serial) return undefined;
  // It delivers only where the ledger had recorded the name before.
  const earlier = { ledger: read, wanted: read.deliverySecretNames.at(-1) };
  return observed({ ...world, ledger, earlier });
}

/** Brings at most `count` LtiKeys up to `ledger`; when all are, those it does not know are disowned. */
export function showKeys(world: World, ledger: Ledger, count = Infinity): World {
  const faces = new Map(world.faces);
  let left = count;
  for (const key of ledger.keys) {
    const existing = faces.get(key.keyID);
    if (left === 0 || existing?.state === key.state || (existing?.serial ?? 0) > ledger.serial) continue;
    const { status } = keyObject(ledger, key, undefined, undefined, world.real);
    faces.set(key.keyID, { state: status!.state!, serial: status!.ledgerSerial! });
    left--;
  }
  if (left > 0 && ledger === world.ledger) {
    for (const keyID of faces.keys()) if (!ledger.keys.some((key) => key.keyID === keyID)) faces.delete(keyID);
  }
  return observed({ ...world, faces });
}

/** As controllers/delivery-secret.ts: the wanted Secret first, then those left over. */
export function deliver(world: World, ledger: Ledger, wanted: string | undefined): World {
  const secrets = new Map(world.secrets);
  const active = activeKey(ledger);
  const readable = !active || (!world.kekMissing && world.damagedKeyID !== active.keyID);
  if (wanted !== undefined && readable && (active || secrets.has(wanted))) {
    const existing = secrets.get(wanted);
    const keys = liveKeys(ledger).map(({ keyID }) => keyID);
    const desired: Delivered = { keyID: active?.keyID, listed: keys.join(), serial: ledger.serial };
    const same = existing && existing.keyID === desired.keyID && existing.listed === desired.listed;
    if (!same && (existing?.serial ?? 0) <= ledger.serial) secrets.set(wanted, desired);
  }
  // The tool keeps what it has until the new Secret is there.
  if (wanted === undefined || secrets.get(wanted)?.keyID === active?.keyID) {
    for (const name of ledger.deliverySecretNames) if (name !== wanted) secrets.delete(name);
  }
  return observed({ ...world, secrets });
}

/** Every replica serves what the LtiKeys show. */
export function synchronizeReplicas(world: World): World {
  const served = [...world.faces].flatMap(([keyID, { state }]) => (publishedStates.has(state) ? [keyID] : []));
  return observed({ ...world, served: new Set(served) });
}

/** A whole reconcile, undisturbed: as controllers/ltiregistration/reconcile.ts. */
export function reconcile(world: World): { readonly world: World; readonly situation: Situation; readonly plan: Plan } {
  let current = world;
  for (let pass = 0; pass < 20; pass++) {
    const situation = gather(current);
    const decision = plan(situation);
    const ledger = ledgerToWrite(situation, decision);
    if (ledger) {
      current = writeLedger(current, situation.ledger, ledger)!;
      continue;
    }
    const { ledger: settled, registration } = current;
    if (settled.highestRevision > 0) {
      const { secrets } = current;
      current = deliver(showKeys(current, settled), settled, registration.deliverySecretName);
      if (JSON.stringify([...current.secrets]) !== JSON.stringify([...secrets])) continue;
    }
    return { world: current, situation, plan: decision };
  }
  throw new Error('the plan does not settle');
}
