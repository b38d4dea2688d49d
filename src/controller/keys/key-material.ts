import type { KeyObject, webcrypto } from 'node:crypto';
import { KekError, SealError } from '../../crypto/errors.ts';
import type { KekProvider } from '../../crypto/kek-provider.ts';
import { locate, openLocated, seal } from '../../crypto/seal.ts';
import { describeSealed } from '../../crypto/sealed-format.ts';
import { type KeyFacts, type LedgerKey, sealedKeys } from '../../domain/ledger.ts';
import { type ObjectKey, splitKey } from '../../kube/objects.ts';
import type { KeyMaterial, Fault } from '../../domain/situation.ts';
import { type LedgerRecord, type SealedKey, sealedKey } from '../secrets/ledger-secret.ts';
import { digestOf, type OpenedKeys } from './opened-keys.ts';

/** The result of opening a sealed key; with the private key only if it opened and matched. */
export interface OpenedKey {
  readonly keyMaterial: KeyMaterial;
  readonly privateKey?: KeyObject;
}

interface Opened {
  readonly digest: string;
  readonly kek: webcrypto.CryptoKey;
}

/** Opens one key of a ledger. Never throws: a key that does not open is a fault, and is never replaced because of it. */
export function openKey(record: LedgerRecord, key: LedgerKey, keks: KekProvider): Promise<OpenedKey> {
  return openUnless(() => false, record, key, keks);
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
    const known = ({ digest, kek }: Opened): boolean => opened.knows(registration, digest, kek);
    const found = await openUnless(known, record, key, keks);
    keyMaterial.set(key.keyID, found.keyMaterial);
    if (found.opened) seen.set(found.opened.digest, found.opened.kek);
  }
  opened.remember(registration, seen);
  return keyMaterial;
}

/** The KEK that each sealed key of a ledger names, whether it opens or not; undefined if one names none. */
export function sealedUnder(record: LedgerRecord): readonly string[] | undefined {
  const keys = sealedKeys(record.ledger);
  const kekIDs = keys.flatMap(({ keyID }) => {
    const jwe = sealedKey(record, keyID);
    const { kekID } = kekIDOf(jwe ?? '');
    return kekID === undefined ? [] : [kekID];
  });
  return kekIDs.length === keys.length ? kekIDs : undefined;
}

/** Seals keys of a ledger again, under the current key-encryption key. Omits those that do not open. */
export async function sealAnew(
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
    const [problem = new KekError('KEKMissing', 'There is no key-encryption key.')] = problems;
    return { sealingFault: { reason: problem.reason, message: problem.message } };
  } catch (error) {
    if (error instanceof KekError) return { sealingFault: { reason: error.reason, message: error.message } };
    const message = `The key-encryption key cannot be checked, because of an unexpected error (${nameOf(error)}). The operator retries.`;
    return { sealingFault: { reason: 'KEKUnverified', message } };
  }
}

async function openUnless(
  known: (opened: Opened) => boolean,
  record: LedgerRecord,
  key: LedgerKey,
  keks: KekProvider,
): Promise<OpenedKey & { readonly opened?: Opened }> {
  const { namespace, registration } = record.ledger;
  const { keyID, publicJWK } = key;
  const jwe = sealedKey(record, keyID);
  if (jwe === undefined) {
    const message = `Secret ${namespace}/${record.secret.metadata.name} has no sealed private key for ${keyID}; restore it from a backup`;
    return { keyMaterial: { reason: 'SealedKeyMissing', message } };
  }
  try {
    const located = await locate(jwe, { namespace, registration, keyID, publicJWK }, keks);
    const opened = { digest: digestOf(key, jwe), kek: located.kek.key };
    const keyMaterial = { opens: true, kekID: located.kek.id } as const;
    return known(opened) ? { keyMaterial, opened } : { keyMaterial, opened, privateKey: await openLocated(located) };
  } catch (error) {
    return { keyMaterial: { ...faultOf(error, keyID), ...kekIDOf(jwe) } };
  }
}

function kekIDOf(jwe: string): { kekID?: string } {
  try {
    return { kekID: describeSealed(jwe).kekID };
  } catch {
    return {};
  }
}

function faultOf(error: unknown, keyID: string): Fault {
  if (error instanceof SealError && error.cause instanceof KekError && error.cause.reason === 'KEKChanged') {
    return { reason: error.cause.reason, message: error.message };
  }
  if (error instanceof SealError || error instanceof KekError) return { reason: error.reason, message: error.message };
  const message = `Sealed key ${keyID} cannot be opened now, because of an unexpected error (${nameOf(error)}). The operator retries.`;
  return { reason: 'SealKEKMissing', message };
}

/** The name of an unexpected error. Its message is dropped, because it might quote a key. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
