import { ledgerEntry, ledgerSecretName, ledgerSecretType, registrationLabel, secrets } from '../api/names.ts';
import { sealedEntry } from '../crypto/sealed-entry.ts';
import { isFinal } from '../domain/key-state.ts';
import { LedgerError, parseLedger, serializeLedger } from '../domain/ledger-format.ts';
import type { Ledger } from '../domain/ledger.ts';
import type { Fault } from '../domain/situation.ts';
import type { KubeClient } from '../kube/client.ts';
import { isObjectNotFound } from '../kube/errors.ts';
import type { Secret } from '../kube/objects.ts';

/** The ledger as it is stored: one Secret, found by its name, every write a compare-and-set of its resourceVersion. */

export interface LedgerRecord {
  readonly ledger: Ledger;
  readonly secret: Secret;
}

/** `absent` is the API server's word that there is no such Secret; a failed read throws and says nothing. */
export type LedgerReading =
  | { readonly kind: 'absent' }
  | { readonly kind: 'faulty'; readonly fault: Fault }
  | { readonly kind: 'present'; readonly record: LedgerRecord };

export interface SealedKey {
  readonly keyID: string;
  readonly jwe: string;
}

type Secrets = Pick<KubeClient, 'get' | 'create' | 'replace'>;

export async function readLedger(client: Secrets, namespace: string, registration: string): Promise<LedgerReading> {
  const secret = await getSecret(client, namespace, ledgerSecretName(registration));
  return secret ? readLedgerSecret(secret, namespace, registration) : { kind: 'absent' };
}

export function readLedgerSecret(secret: Secret, namespace: string, registration: string): LedgerReading {
  const faulty = (reason: string, message: string): LedgerReading => ({
    kind: 'faulty',
    fault: { reason, message: `Secret ${namespace}/${secret.metadata.name}: ${message}` },
  });
  if (secret.type !== ledgerSecretType) {
    return faulty(
      'LedgerSecretTaken',
      `it has the name of a ledger but its type is not ${ledgerSecretType}; rename or delete it`,
    );
  }
  try {
    const ledger = parseLedger(entry(secret, ledgerEntry), namespace, registration);
    return { kind: 'present', record: { ledger, secret } };
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    return faulty(error.reason, `${error.message}; nothing is changed until the Secret is restored`);
  }
}

/** The sealed private key (JWE JSON) of a key, if the ledger has one. */
export function sealedKey(record: LedgerRecord, keyID: string): string | undefined {
  return entry(record.secret, sealedEntry(keyID));
}

/** Stores a new ledger together with its first key; 409 AlreadyExists if somebody else was first. */
export async function createLedger(client: Secrets, ledger: Ledger, sealed: SealedKey): Promise<LedgerRecord> {
  const secret = await client.create<Secret>(secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: ledgerSecretName(ledger.registration),
      namespace: ledger.namespace,
      labels: { [registrationLabel]: ledger.registration },
    },
    type: ledgerSecretType,
    data: { [ledgerEntry]: encode(serializeLedger(ledger)), [sealedEntry(sealed.keyID)]: encode(sealed.jwe) },
  });
  return { ledger, secret };
}

/**
 * Replaces the ledger that was read; a conflict if it is no longer the stored one. Sealed keys are kept byte for byte,
 * but for those whose state became final: with this write their private halves are destroyed.
 */
export async function replaceLedger(
  client: Secrets,
  record: LedgerRecord,
  ledger: Ledger,
  sealed: readonly SealedKey[] = [],
): Promise<LedgerRecord> {
  const kept = new Set(ledger.keys.filter((key) => !isFinal(key.state)).map((key) => key.keyID));
  const gone = record.ledger.keys.filter((key) => !kept.has(key.keyID)).map((key) => sealedEntry(key.keyID));
  const data = Object.fromEntries(Object.entries(record.secret.data ?? {}).filter(([name]) => !gone.includes(name)));
  const secret = await client.replace<Secret>(secrets, {
    ...record.secret,
    data: {
      ...data,
      [ledgerEntry]: encode(serializeLedger(ledger)),
      ...Object.fromEntries(sealed.map(({ keyID, jwe }) => [sealedEntry(keyID), encode(jwe)])),
    },
  });
  return { ledger, secret };
}

/** The Secret, or `undefined` when the API server says that this very object does not exist. */
export async function getSecret(client: Secrets, namespace: string, name: string): Promise<Secret | undefined> {
  try {
    return await client.get<Secret>(secrets, namespace, name);
  } catch (error) {
    if (isObjectNotFound(error)) return undefined;
    throw error;
  }
}

function entry(secret: Secret, name: string): string | undefined {
  const value = secret.data?.[name];
  return value === undefined ? undefined : Buffer.from(value, 'base64').toString();
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}
