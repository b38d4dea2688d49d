import { type Duration, formatDuration } from './duration.ts';
import type { LedgerKey } from './ledger.ts';
import type { Fault, Lifecycle } from './situation.ts';
import { timingFault, toleratedClockSkew } from './timing.ts';

/** What a step of the lifecycle requires, and the faults that block it. */

export function isClockSkewed({ clockSkew }: Pick<Lifecycle, 'clockSkew'>): boolean {
  return Math.abs(clockSkew) > toleratedClockSkew;
}

export function clockFault(clockSkew: Duration): Fault {
  return {
    reason: 'ClockSkewed',
    message: `the clocks of the operator and the API server differ by ${formatDuration(Math.abs(clockSkew))}, more than ${formatDuration(toleratedClockSkew)}: no key is activated or retired until they agree. Check time synchronization on the nodes`,
  };
}

/** The fault of the first of these keys that cannot be decrypted. */
export function keyMaterialFault(
  { keyMaterial }: Pick<Lifecycle, 'keyMaterial'>,
  keys: readonly LedgerKey[],
): Fault | undefined {
  for (const { keyID } of keys) {
    const material = keyMaterial.get(keyID);
    if (material && !material.opens) return material;
  }
  return undefined;
}

/** Whether the platform of a Manual registration may lack the key. A first or imported key signs nevertheless. */
export function awaitsAcknowledgement({ registration }: Lifecycle, key: LedgerKey): boolean {
  return registration.keyDistribution === 'Manual' && registration.acknowledgedKeyID !== key.keyID;
}

/** Whether the spec blocks every rotation of the registration, whatever its cause. */
export function isRotationHeld({ registration, limits, observation }: Lifecycle): boolean {
  return registration.suspend || timingFault(registration, limits, observation.cacheLifetime) !== undefined;
}

/** Every ready replica serves the key now, its private half can be decrypted, and the clock can be trusted. */
export function maySign(lifecycle: Lifecycle, key: LedgerKey): boolean {
  const { observation, keyMaterial } = lifecycle;
  return (
    observation.servedKeyIDs.has(key.keyID) && keyMaterial.get(key.keyID)?.opens === true && !isClockSkewed(lifecycle)
  );
}
