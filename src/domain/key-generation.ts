import {
  activeKey,
  addKey,
  type Cause,
  type KeyFacts,
  type Ledger,
  type LedgerKey,
  liveKeys,
  nextKey,
} from './ledger.ts';
import { clockFault, isClockSkewed, keyMaterialFault, replacementFor } from './preconditions.ts';
import { answered, requestedCause } from './rotation-requests.ts';
import { type Fault, isFault, type Lifecycle } from './situation.ts';
import { isRotationHeld, maximumLiveKeys, preparationTime } from './timing.ts';

/** Whether a new revision is needed, for which cause, which fault blocks it, and the ledger with the new key. */

/** Why a new revision is needed now, or `undefined`. */
export function causeForNewKey(lifecycle: Lifecycle): Cause | undefined {
  const { registration, ledger, now } = lifecycle;
  if (nextKey(ledger)) return undefined;
  const active = activeKey(ledger);
  if (!active && ledger.highestRevision > 0) return 'Revocation';
  if (!active) return lifecycle.imports?.signing ? 'Import' : 'Initial';
  if (registration.revokedKeyIDs.has(active.keyID)) return replacementFor(lifecycle) ? undefined : 'Revocation';
  if (isRotationHeld(lifecycle)) return undefined;
  if (ledger.rotationOwed) return ledger.rotationOwed;
  if (isWrongSize(active, registration.keySize)) return 'KeySize';
  return requestedCause(lifecycle) ?? (now >= preparationTime(active, registration) ? 'Schedule' : undefined);
}

/** Why a revision that is needed cannot be made. A key that cannot be decrypted may mean a damaged ledger, so none is added to it. */
export function generationFault(lifecycle: Lifecycle, cause: Cause): Fault | undefined {
  const { ledger, registration, sealingFault, imports, clockSkew } = lifecycle;
  if (imports?.signing && isFault(imports.signing)) return imports.signing;
  // The import happens once, and `until` decides which verify-only keys it takes: it needs a clock that can be trusted.
  if (imports && imports.verifyOnly.length > 0 && isClockSkewed(lifecycle)) return clockFault(clockSkew);
  const live = liveKeys(ledger).filter(({ keyID }) => !registration.revokedKeyIDs.has(keyID));
  const damaged = keyMaterialFault(lifecycle, live);
  if (damaged) return damaged;
  if (live.length >= maximumLiveKeys) {
    const message = `the registration has ${live.length} published keys, the maximum: the operator creates no new key (${cause}) until one retires. Shorten spec.overlap or rotate less often`;
    return { reason: 'TooManyKeys', message };
  }
  return sealingFault;
}

/** Keys that can be decrypted and are sealed under another key-encryption key than the one that seals now. */
export function staleSeals({
  ledger,
  keyMaterial,
  sealingKekID,
}: Pick<Lifecycle, 'ledger' | 'keyMaterial' | 'sealingKekID'>): string[] {
  if (sealingKekID === undefined) return [];
  return liveKeys(ledger).flatMap(({ keyID }) => {
    const material = keyMaterial.get(keyID);
    return material?.opens && material.kekID !== sealingKekID ? [keyID] : [];
  });
}

/** The ledger with the key pair that a plan requested. The new revision answers every rotation request so far. */
export function withNewKey(lifecycle: Lifecycle, facts: KeyFacts, cause: Cause): Ledger {
  const { registration, ledger, now } = lifecycle;
  const { rotationOwed: _, ...rest } = answered(lifecycle, ledger);
  const serial = ledger.serial + 1;
  if (ledger.highestRevision > 0) return { ...addKey(rest, facts, cause, now), serial };
  const { issuer, deletionPolicy, deliverySecretName: secretName } = registration;
  const deliveries = secretName === undefined ? [] : [{ secretName }];
  const known = issuer === undefined ? {} : { issuer };
  const first = { ...rest, ...known, serial, deletionPolicy, deliveries };
  return withVerifyOnlyKeys(lifecycle, addKey(first, facts, cause, now));
}

/** Adds the public keys of a former system to the first ledger, as Retiring keys, except those that have expired. */
function withVerifyOnlyKeys({ imports, now }: Lifecycle, ledger: Ledger): Ledger {
  let current = ledger;
  for (const key of imports?.verifyOnly ?? []) {
    const taken = current.keys.some(({ keyID }) => keyID === key.keyID);
    if (key.until <= now || taken) continue;
    const added = addKey(current, key, 'Import', now);
    const keys = added.keys.map((row) =>
      row.keyID === key.keyID
        ? { ...row, state: 'Retiring' as const, verifyOnly: true as const, retireAt: key.until }
        : row,
    );
    current = { ...added, keys };
  }
  return current;
}

/** An imported key may be larger than `spec.key.size`, because a rotation during the move of a tool would break the move. */
function isWrongSize({ cause, size }: LedgerKey, wanted: number): boolean {
  return cause === 'Import' ? size < wanted : size !== wanted;
}
