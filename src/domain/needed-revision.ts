import { type Duration, formatDuration } from './duration.ts';
import { isClockSkewed, isRotationHeld } from './gates.ts';
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
import { replacementFor } from './revocation-policies.ts';
import { type Fault, isFault, type Lifecycle } from './situation.ts';
import { mostLiveKeys, preparationTime, toleratedClockSkew } from './timing.ts';

/** Whether a new revision is needed, why, what keeps it from being made, and the ledger with it. */

/** Why a new revision has to be made now, or `undefined`. */
export function neededRevision(lifecycle: Lifecycle): Cause | undefined {
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

/** The ledger that remembers the registration's present trigger and request as answered. */
export function answered({ registration }: Lifecycle, ledger: Ledger): Ledger {
  return {
    ...ledger,
    ...(registration.rotationTrigger === undefined ? {} : { observedRotationTrigger: registration.rotationTrigger }),
    ...(registration.rotateRequest === undefined ? {} : { observedRotateRequest: registration.rotateRequest }),
  };
}

/** Why a revision that is needed is not made. A ledger with a key that does not open may be a damaged one: nothing is added to it. */
export function generationFault(lifecycle: Lifecycle, cause: Cause): Fault | undefined {
  const { ledger, registration, sealingFault, imports, clockSkew } = lifecycle;
  if (imports?.signing && isFault(imports.signing)) return imports.signing;
  // Which of them are still to be served is a question of the time, and is asked only once.
  if (imports && imports.verifyOnly.length > 0 && isClockSkewed(lifecycle)) return clockFault(clockSkew);
  const live = liveKeys(ledger).filter(({ keyID }) => !registration.revokedKeyIDs.has(keyID));
  const damaged = keyMaterialFault(lifecycle, live);
  if (damaged) return damaged;
  if (live.length >= mostLiveKeys) {
    const message = `the registration has ${live.length} published keys, the maximum: the operator creates no new key (${cause}) until one retires. Shorten spec.overlap or rotate less often`;
    return { reason: 'TooManyKeys', message };
  }
  return sealingFault;
}

/** Why the first of these keys that does not open does not. */
export function keyMaterialFault(
  { keyMaterial }: Pick<Lifecycle, 'keyMaterial'>,
  keys: readonly LedgerKey[],
): Fault | undefined {
  for (const { keyID } of keys) {
    const kept = keyMaterial.get(keyID);
    if (kept && !kept.opens) return kept;
  }
  return undefined;
}

export function clockFault(clockSkew: Duration): Fault {
  return {
    reason: 'ClockSkewed',
    message: `the clocks of the operator and the API server differ by ${formatDuration(Math.abs(clockSkew))}, more than ${formatDuration(toleratedClockSkew)}: no key is activated or retired until they agree. Check time synchronization on the nodes`,
  };
}

/** Keys that open and are sealed under another key-encryption key than the one that seals now. */
export function staleSeals({
  ledger,
  keyMaterial,
  sealingKeyID,
}: Pick<Lifecycle, 'ledger' | 'keyMaterial' | 'sealingKeyID'>): string[] {
  if (sealingKeyID === undefined) return [];
  return liveKeys(ledger).flatMap(({ keyID }) => {
    const kept = keyMaterial.get(keyID);
    return kept?.opens && kept.kekID !== sealingKeyID ? [keyID] : [];
  });
}

/** The ledger with the key pair that a plan asked for. The new revision answers whatever asked for a rotation so far. */
export function withKey(lifecycle: Lifecycle, facts: KeyFacts, cause: Cause): Ledger {
  const { registration, ledger, now } = lifecycle;
  const { rotationOwed: _, ...settled } = answered(lifecycle, ledger);
  const serial = ledger.serial + 1;
  if (ledger.highestRevision > 0) return { ...addKey(settled, facts, cause, now), serial };
  const { issuer, deletionPolicy, deliverySecretName: secretName } = registration;
  const deliveries = secretName === undefined ? [] : [{ secretName }];
  const first = { ...settled, serial, issuer, deletionPolicy, deliveries };
  return withVerifyOnlyKeys(lifecycle, addKey(first, facts, cause, now));
}

/** Keys of a former system join the first ledger as if they were retiring; those whose time is over stay away. */
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

/** A key that a tool brought along may be larger than asked for: a rotation in the middle of its move would break that. */
function isWrongSize({ cause, size }: LedgerKey, wanted: number): boolean {
  return cause === 'Import' ? size < wanted : size !== wanted;
}

export function requestedCause({ registration, ledger }: Lifecycle): Cause | undefined {
  const { rotationTrigger, rotateRequest } = registration;
  if (rotationTrigger !== undefined && rotationTrigger !== ledger.observedRotationTrigger) return 'Trigger';
  if (rotateRequest !== undefined && rotateRequest !== ledger.observedRotateRequest) return 'Request';
  return undefined;
}
