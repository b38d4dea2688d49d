import type { KeyObject, webcrypto } from 'node:crypto';
import { KekError, SealError } from '../../crypto/errors.ts';
import type { KekProvider } from '../../crypto/kek-provider.ts';
import { locate, openLocated, seal } from '../../crypto/seal.ts';
import { namedKek } from '../../crypto/sealed-format.ts';
import { type KeyFacts, type LedgerKey, sealedKeys } from '../../domain/ledger.ts';
import { type ObjectKey, splitKey } from '../../kube/objects.ts';
import type { KeyMaterial, Fault } from '../../domain/situation.ts';
import { type LedgerRecord, type SealedKey, sealedKey } from '../secrets/ledger-secret.ts';
import { sealDigest, type OpenedKeys } from './opened-keys.ts';

/** A sealed key and the KEK that opens it. */
interface Seal {
  readonly digest: string;
  readonly kek: webcrypto.CryptoKey;
}

/** The result of opening a sealed key; with the private key only if it was decrypted and matched. */
export interface OpenedKey {
  readonly keyMaterial: KeyMaterial;
  readonly privateKey?: KeyObject;
  /** Absent if the KEK was not found. */
  readonly seal?: Seal;
}

/** Whether each sealed key of a ledger opens, by key ID. Keys in `opened` are not decrypted again. Never throws. */
export async function keyMaterialOf(
  record: LedgerRecord,
  keks: KekProvider,
  opened: OpenedKeys,
): Promise<ReadonlyMap<string, KeyMaterial>> {
  const registration = `${record.ledger.namespace}/${record.ledger.registration}`;
  const keyMaterial = new Map<string, KeyMaterial>();
  const seen = new Map<string, webcrypto.CryptoKey>();
  for (const key of sealedKeys(record.ledger)) {
    const isKnown = ({ digest, kek }: Seal): boolean => opened.knows(registration, digest, kek);
    const found = await openKey(record, key, keks, isKnown);
    keyMaterial.set(key.keyID, found.keyMaterial);
    if (found.seal) seen.set(found.seal.digest, found.seal.kek);
  }
  opened.remember(registration, seen);
  return keyMaterial;
}

/** The KEK that each sealed key of a ledger names, whether it opens or not; undefined if one names none. */
export function sealedUnder(record: LedgerRecord): readonly string[] | undefined {
  const keys = sealedKeys(record.ledger);
  const kekIDs = keys.flatMap(({ keyID }) => {
    const jwe = sealedKey(record, keyID);
    const kekID = namedKek(jwe ?? '');
    return kekID === undefined ? [] : [kekID];
  });
  return kekIDs.length === keys.length ? kekIDs : undefined;
}

/** Seals keys of a ledger again, under the current key-encryption key. Omits those that do not open. */
export async function reseal(
  record: LedgerRecord,
  keyIDs: readonly string[],
  keks: KekProvider,
): Promise<readonly (SealedKey & { readonly kekID: string })[]> {
  const { ledger } = record;
  const { namespace, registration } = ledger;
  const sealed = await Promise.all(
    ledger.keys
      .filter(({ keyID }) => keyIDs.includes(keyID))
      .map(async (key) => {
        const { keyID, publicJWK } = key;
        const { privateKey } = await openKey(record, key, keks);
        if (!privateKey) return [];
        return [{ keyID, ...(await seal(privateKey, { namespace, registration, keyID, publicJWK }, keks)) }];
      }),
  );
  return sealed.flat();
}

/** Seals a new key pair for the registration `namespace/name`. Throws `KekError` if nothing can be sealed. */
export async function sealPair(
  registration: ObjectKey,
  pair: KeyFacts & { readonly privateKey: KeyObject },
  keks: KekProvider,
): Promise<{ readonly facts: KeyFacts; readonly jwe: string; readonly kekID: string }> {
  const { privateKey, keyID, algorithm, size, publicJWK } = pair;
  const { namespace, name } = splitKey(registration);
  const sealed = await seal(privateKey, { namespace, registration: name, keyID, publicJWK }, keks);
  return { facts: { keyID, algorithm, size, publicJWK }, ...sealed };
}

/** The key-encryption key that seals now, or why nothing can be sealed. Never throws. */
export async function sealingState(keks: KekProvider): Promise<{ sealingKekID: string } | { sealingFault: Fault }> {
  try {
    const { sealingKekID, problems } = await keks.status();
    if (sealingKekID !== undefined) return { sealingKekID };
    const [problem = new KekError('KEKMissing', 'there is no key-encryption key')] = problems;
    return { sealingFault: { reason: problem.reason, message: problem.message } };
  } catch (error) {
    return { sealingFault: faultOf(error, 'the key-encryption key') };
  }
}

/**
 * Opens one key of a ledger, without decrypting it if `isKnown`. Never throws: a key that does not open is a fault, and is never
 * replaced because of it.
 */
export async function openKey(
  record: LedgerRecord,
  key: LedgerKey,
  keks: KekProvider,
  isKnown: (seal: Seal) => boolean = () => false,
): Promise<OpenedKey> {
  const { namespace, registration } = record.ledger;
  const { keyID, publicJWK } = key;
  const jwe = sealedKey(record, keyID);
  if (jwe === undefined) {
    const message = `Secret ${namespace}/${record.secret.metadata.name} has no sealed private key for ${keyID}; restore it from a backup`;
    return { keyMaterial: { reason: 'SealedKeyMissing', message } };
  }
  try {
    const located = await locate(jwe, { namespace, registration, keyID, publicJWK }, keks);
    const found = { digest: sealDigest(key, jwe), kek: located.kek.key };
    const keyMaterial = { opens: true, kekID: located.kek.id } as const;
    return isKnown(found)
      ? { keyMaterial, seal: found }
      : { keyMaterial, seal: found, privateKey: await openLocated(located) };
  } catch (error) {
    const kekID = namedKek(jwe);
    return { keyMaterial: { ...faultOf(error, `sealed key ${keyID}`), ...(kekID === undefined ? {} : { kekID }) } };
  }
}

/** An unexpected error is a fault of its own, and not an exception, so that revocations and the other keys do not wait for it. */
function faultOf(error: unknown, subject: string): Fault {
  if (error instanceof SealError && error.cause instanceof KekError && error.cause.reason === 'KEKChanged') {
    return { reason: error.cause.reason, message: error.message };
  }
  if (error instanceof SealError || error instanceof KekError) return { reason: error.reason, message: error.message };
  // The message of the error is dropped, because it might quote a key.
  const name = error instanceof Error ? error.name : typeof error;
  const message = `${subject} cannot be checked, because of an unexpected error (${name}). The operator retries`;
  return { reason: 'UnexpectedError', message };
}
