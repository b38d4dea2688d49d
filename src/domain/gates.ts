import type { LedgerKey } from './ledger.ts';
import type { Lifecycle } from './situation.ts';
import { timingFault, toleratedClockSkew } from './timing.ts';

/** What holds a step of the lifecycle back. */

export function isClockSkewed({ clockSkew }: Pick<Lifecycle, 'clockSkew'>): boolean {
  return Math.abs(clockSkew) > toleratedClockSkew;
}

/** A Manual registration's key signs only when somebody said that the platform has it. */
export function awaitsAcknowledgement({ registration }: Lifecycle, key: LedgerKey): boolean {
  return registration.keyDistribution === 'Manual' && registration.acknowledgedKeyID !== key.keyID;
}

/** What stops every rotation of the registration, whatever asks for it. */
export function isRotationHeld({ registration, limits, observation }: Lifecycle): boolean {
  return registration.suspend || timingFault(registration, limits, observation.cacheLifetime) !== undefined;
}

/** Every ready replica serves it now, it opens, and the time can be trusted. */
export function maySign(lifecycle: Lifecycle, key: LedgerKey): boolean {
  const { observation, keyMaterial } = lifecycle;
  return (
    observation.servedKeyIDs.has(key.keyID) && keyMaterial.get(key.keyID)?.opens === true && !isClockSkewed(lifecycle)
  );
}
