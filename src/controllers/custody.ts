import type { KeyObject } from 'node:crypto';
import { KekError } from '../crypto/kek-error.ts';
import type { KekProvider } from '../crypto/keyring.ts';
import { SealError } from '../crypto/seal-error.ts';
import { open, seal } from '../crypto/seal.ts';
import { describeSealed } from '../crypto/sealed-format.ts';
import { type LedgerKey, sealedKeys } from '../domain/ledger.ts';
import type { Custody, Fault } from '../domain/situation.ts';
import type { KubeClient } from '../kube/client.ts';
import { type LedgerRecord, replaceLedger, sealedKey } from './ledger-secret.ts';

/** What opening a sealed key came to; the private key itself only where it opened and matched. */
export interface OpenedKey {
  readonly custody: Custody;
  readonly privateKey?: KeyObject;
}

/** Opens one key of a ledger. Faults are findings, not errors: nothing is ever made because of one. */
export async function openKey(record: LedgerRecord, key: LedgerKey, keks: KekProvider): Promise<OpenedKey> {
  const { namespace, registration } = record.ledger;
  const jwe = sealedKey(record, key.keyID);
  if (jwe === undefined) {
    const message = `Secret ${namespace}/${record.secret.metadata.name} has no sealed private key for ${key.keyID}; restore it from a backup`;
    return { custody: { reason: 'SealedKeyMissing', message } };
  }
  try {
    const privateKey = await open(jwe, { namespace, registration, keyID: key.keyID, publicJWK: key.publicJWK }, keks);
    return { custody: { opens: true, kekID: describeSealed(jwe).kekID }, privateKey };
  } catch (error) {
    return { custody: { ...faultOf(error), ...sealedUnder(jwe) } };
  }
}

/** Opens every sealed key of a ledger: what that came to, and the private keys of those that opened and matched. */
export async function openKeys(
  record: LedgerRecord,
  keks: KekProvider,
): Promise<{ custody: ReadonlyMap<string, Custody>; privateKeys: ReadonlyMap<string, KeyObject> }> {
  const custody = new Map<string, Custody>();
  const privateKeys = new Map<string, KeyObject>();
  for (const key of sealedKeys(record.ledger)) {
    const opened = await openKey(record, key, keks);
    custody.set(key.keyID, opened.custody);
    if (opened.privateKey) privateKeys.set(key.keyID, opened.privateKey);
  }
  return { custody, privateKeys };
}

/** Seals opened keys of a ledger anew under the present key-encryption key, in one write. */
export async function resealKeys(
  client: KubeClient,
  record: LedgerRecord,
  keys: { readonly keyIDs: readonly string[]; readonly privateKeys: ReadonlyMap<string, KeyObject> },
  keks: KekProvider,
): Promise<LedgerRecord> {
  const { ledger } = record;
  const { namespace, registration } = ledger;
  const sealed = await Promise.all(
    ledger.keys
      .filter(({ keyID }) => keys.keyIDs.includes(keyID))
      .map(async ({ keyID, publicJWK }) => {
        const context = { namespace, registration, keyID, publicJWK };
        return { keyID, jwe: (await seal(keys.privateKeys.get(keyID)!, context, keks)).jwe };
      }),
  );
  return replaceLedger(client, record, { ...ledger, serial: ledger.serial + 1 }, sealed);
}

/** The key-encryption key that seals now, or why there is none. */
export async function sealingState(keks: KekProvider): Promise<{ sealingKeyID: string } | { sealingFault: Fault }> {
  const { sealingKeyID, problems } = await keks.status();
  if (sealingKeyID !== undefined) return { sealingKeyID };
  const [problem] = problems;
  const sealingFault = {
    reason: problem?.reason ?? 'KEKMissing',
    message: problem?.message ?? 'there is no key-encryption key',
  };
  return { sealingFault };
}

function sealedUnder(jwe: string): { kekID?: string } {
  try {
    return { kekID: describeSealed(jwe).kekID };
  } catch {
    return {};
  }
}

function faultOf(error: unknown): Fault {
  if (error instanceof SealError || error instanceof KekError) return { reason: error.reason, message: error.message };
  throw error;
}
