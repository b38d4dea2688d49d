import { type Ledger, liveKeys } from './ledger.ts';
import type { Registration } from './registration.ts';
import type { KeyMaterial, Lifecycle } from './situation.ts';
import type { Instant } from './duration.ts';
import type { TimingLimits } from './timing.ts';

export interface Undisturbed {
  readonly registration: Registration;
  readonly ledger: Ledger;
  readonly limits: TimingLimits;
  readonly now: Instant;
}

const kekID = 'assumed';

/** A lifecycle without an obstacle: every replica serves exactly the live keys, every key opens, and the tool has the active one. */
export function undisturbed({ registration, ledger, limits, now }: Undisturbed): Lifecycle {
  const live = liveKeys(ledger).map(({ keyID }) => keyID);
  const opens: KeyMaterial = { opens: true, kekID };
  return {
    registration,
    ledger,
    keyMaterial: new Map(live.map((keyID) => [keyID, opens])),
    observation: {
      servedKeyIDs: new Set(live),
      missingKeyIDs: new Set(),
      stillServed: new Map(),
      absentKeyIDs: new Set(ledger.keys.map(({ keyID }) => keyID).filter((keyID) => !live.includes(keyID))),
      detail: '',
      cacheLifetime: 0,
    },
    delivery: { ...(ledger.activeKeyID === undefined ? {} : { keyID: ledger.activeKeyID }), leftovers: [] },
    fetches: { complete: false },
    unpublishedKeyIDs: new Set(),
    sealingKekID: kekID,
    clockSkew: 0,
    limits,
    now,
  };
}
