import { hour } from '../../src/domain/duration.ts';
import { liveKeys } from '../../src/domain/ledger.ts';
import type { Custody, Fault, Situation } from '../../src/domain/situation.ts';
import { aKey, aLedger, epoch } from './ledger.ts';
import { aRegistration } from './registration.ts';

type Parts = Partial<Omit<Situation, 'observation'>> & {
  /** Key IDs that every ready replica serves; without it, those of all live keys. */
  readonly served?: readonly string[];
  readonly detail?: string;
  readonly cacheLifetime?: number;
};

/** A fault as opening a sealed key finds it. */
export const damaged: Fault = { reason: 'SealedKeyDamaged', message: 'the sealed key does not open' };
/** A fault as asking for the key-encryption key finds it. */
export const noKek: Fault = { reason: 'KEKMissing', message: 'there is no key-encryption key' };
export const opens: Custody = { opens: true, kekID: 'kek-1' };

/** Revision 1 signs since the beginning, all is served, opens and is in time; `more` says what is different. */
export function aSituation({ served, detail = '', cacheLifetime = 0, ...more }: Parts = {}): Situation {
  const ledger = more.ledger ?? aLedger([aKey(1, 'Active')]);
  const live = liveKeys(ledger).map(({ keyID }) => keyID);
  return {
    registration: aRegistration(),
    custody: new Map(live.map((keyID) => [keyID, opens])),
    observation: { servedKeyIDs: new Set(served ?? live), detail, cacheLifetime },
    delivery: { leftovers: [] },
    clockSkew: 0,
    limits: { minimumOverlap: hour },
    now: epoch,
    ...more,
    ledger,
  };
}
