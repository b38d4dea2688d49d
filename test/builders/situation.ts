import { hour } from '../../src/domain/duration.ts';
import { liveKeys } from '../../src/domain/ledger.ts';
import { ltiKeyOf } from '../../src/domain/ltikeys.ts';
import { readRegistration } from '../../src/domain/registration.ts';
import type { KeyMaterial, Fault, Lifecycle, Observation, Situation } from '../../src/domain/situation.ts';
import { aKey, aLedger, epoch } from './ledger.ts';
import { anLtiRegistration, aRegistration } from './registration.ts';

type Parts = Partial<Omit<Lifecycle, 'observation'>> & {
  /** IDs of the keys that every ready replica serves; all live keys if omitted. */
  readonly served?: readonly string[];
  readonly detail?: string;
  readonly cacheLifetime?: number;
  readonly observed?: Partial<Observation>;
};

/** A fault of a sealed key. */
export const damaged: Fault = { reason: 'SealTampered', message: 'the sealed key does not open' };
/** A fault of the key-encryption key. */
export const noKek: Fault = { reason: 'KEKMissing', message: 'there is no key-encryption key' };
export const opens: KeyMaterial = { opens: true, kekID: 'kek-1' };

/** The replicas serve exactly these keys. */
export function anObservation(served: readonly string[], more: Partial<Observation> = {}): Observation {
  return {
    servedKeyIDs: new Set(served),
    missingKeyIDs: new Set(),
    stillServed: new Map(),
    absentKeyIDs: new Set(),
    detail: '',
    cacheLifetime: 0,
    ...more,
  };
}

/** Revision 1 signs since `epoch`, every key is served and can be decrypted, and the clock is right, except as `more` says. */
export function aLifecycle({ served, detail = '', cacheLifetime = 0, observed = {}, ...more }: Parts = {}): Lifecycle {
  const ledger = more.ledger ?? aLedger([aKey(1, 'Active')]);
  const live = liveKeys(ledger).map(({ keyID }) => keyID);
  return {
    registration: aRegistration(),
    keyMaterial: new Map(live.map((keyID) => [keyID, opens])),
    observation: anObservation(served ?? live, { detail, cacheLifetime, ...observed }),
    delivery: { leftovers: [] },
    fetches: { complete: false },
    unpublishedKeyIDs: new Set(),
    clockSkew: 0,
    limits: { minimumOverlap: hour },
    now: epoch,
    ...more,
    ledger,
  };
}

/** A registration with a readable ledger that its LtiKeys show, except as `more` says. */
export function aSituation(more: Partial<Situation> = {}): Situation {
  const object = more.registration?.kind === 'present' ? more.registration.object : anLtiRegistration();
  const ledger = more.ledger ?? { kind: 'present', ledger: aLedger([aKey(1, 'Active')]) };
  const keys = ledger.kind === 'present' ? ledger.ledger.keys : [];
  const live = ledger.kind === 'present' ? liveKeys(ledger.ledger).map(({ keyID }) => keyID) : [];
  return {
    namespace: 'gradebook',
    name: 'canvas',
    registration: { kind: 'present', object, registration: readRegistration(object) },
    ledger,
    ltiKeys: ledger.kind === 'present' ? keys.map((key) => ltiKeyOf(ledger.ledger, key, opens, undefined, epoch)) : [],
    keyMaterial: new Map(live.map((keyID) => [keyID, opens])),
    observation: anObservation(live),
    deliveries: new Map(),
    sealingKekID: 'kek-1',
    shared: new Map(),
    refused: new Map(),
    clockSkew: 0,
    limits: { minimumOverlap: hour },
    now: epoch,
    ...more,
  };
}
