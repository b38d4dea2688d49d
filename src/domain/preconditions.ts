import { type Duration, formatDuration } from './duration.ts';
import { keysIn, type LedgerKey, nextKey } from './ledger.ts';
import type { Fault, Lifecycle } from './situation.ts';
import { toleratedClockSkew } from './timing.ts';

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

/** Every ready replica serves the key now, its private half can be decrypted, and the clock can be trusted. */
export function isReadyToSign(lifecycle: Lifecycle, key: LedgerKey): boolean {
  const { observation, keyMaterial } = lifecycle;
  return (
    observation.servedKeyIDs.has(key.keyID) && keyMaterial.get(key.keyID)?.opens === true && !isClockSkewed(lifecycle)
  );
}

/** The key that can replace a revoked signing key now: a published next key, else the newest published Retiring key. */
export function replacementFor(lifecycle: Lifecycle): LedgerKey | undefined {
  const { ledger, registration } = lifecycle;
  const next = nextKey(ledger);
  const candidates = [
    ...(next && !awaitsAcknowledgement(lifecycle, next) ? [next] : []),
    ...keysIn(ledger, 'Retiring').toReversed(),
  ];
  return candidates.find((key) => !registration.revokedKeyIDs.has(key.keyID) && isReadyToSign(lifecycle, key));
}
