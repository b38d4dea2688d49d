import { ledgerEntry, ledgerSecretName, ledgerSecretType, registrationLabel, secrets } from '../../api/names.ts';
import { sealedEntry } from '../../crypto/sealed-entry.ts';
import type { Duration } from '../../domain/duration.ts';
import { isFinal } from '../../domain/key-state.ts';
import { parseLedger, serializeLedger } from '../../domain/ledger-format.ts';
import { LedgerError } from '../../domain/member-reader.ts';
import { type Ledger, sealedKeys } from '../../domain/ledger.ts';
import type { Fault } from '../../domain/situation.ts';
import type { KubeClient } from '../../kube/client.ts';
import { ifExists } from '../../kube/errors.ts';
import type { Secret } from '../../kube/objects.ts';
import { isUnreadableOrGivenUp } from '../failed-requests.ts';

/** The ledger as stored: one Secret, found by name. Every write is a compare-and-set of its resourceVersion. */

export interface LedgerRecord {
  readonly ledger: Ledger;
  readonly secret: Secret;
}

/** `absent`: the API server reported that this Secret does not exist. */
export type LedgerSecretReading =
  | { readonly kind: 'absent' }
  | { readonly kind: 'faulty'; readonly fault: Fault }
  | { readonly kind: 'present'; readonly record: LedgerRecord };

export interface SealedKey {
  readonly keyID: string;
  readonly jwe: string;
}

type Secrets = Pick<KubeClient, 'get' | 'create' | 'replace'>;

export async function readLedger(
  client: Secrets,
  namespace: string,
  registration: string,
  failingFor: Duration,
): Promise<LedgerSecretReading> {
  const name = ledgerSecretName(registration);
  try {
    const secret = await getSecret(client, namespace, name);
    return secret ? readLedgerSecret(secret, namespace, registration) : { kind: 'absent' };
  } catch (error) {
    if (!isUnreadableOrGivenUp(error, failingFor)) throw error;
    const message = `the operator cannot read the ledger Secret ${namespace}/${name}: ${error.message}; it retries, and revocations proceed without the ledger`;
    return { kind: 'faulty', fault: { reason: 'LedgerUnreadable', message } };
  }
}

export function readLedgerSecret(secret: Secret, namespace: string, registration: string): LedgerSecretReading {
  const faulty = (reason: Fault['reason'], message: string): LedgerSecretReading => ({
    kind: 'faulty',
    fault: { reason, message: `Secret ${namespace}/${secret.metadata.name}: ${message}` },
  });
  if (secret.type !== ledgerSecretType) {
    return faulty(
      'LedgerSecretConflict',
      `it has the name of a ledger but its type is not ${ledgerSecretType}; rename or delete it`,
    );
  }
  try {
    const ledger = parseLedger(entry(secret, ledgerEntry), namespace, registration);
    return { kind: 'present', record: { ledger, secret } };
  } catch (error) {
    if (!(error instanceof LedgerError)) throw error;
    return faulty(error.reason, `${error.message}; the operator changes nothing until the Secret is restored`);
  }
}

/** The sealed private key (JWE JSON) of a key, if the ledger has one. */
export function sealedKey(record: LedgerRecord, keyID: string): string | undefined {
  return entry(record.secret, sealedEntry(keyID));
}

/** Stores a new ledger together with its first key. Throws 409 AlreadyExists if another client was first. */
export async function createLedger(
  client: Secrets,
  ledger: Ledger,
  sealed: readonly SealedKey[],
): Promise<LedgerRecord> {
  expectSealed(ledger, sealed);
  const secret = await client.create<Secret>(secrets, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: ledgerSecretName(ledger.registration),
      namespace: ledger.namespace,
      labels: { [registrationLabel]: ledger.registration },
    },
    type: ledgerSecretType,
    data: { [ledgerEntry]: encode(serializeLedger(ledger)), ...entriesOf(sealed) },
  });
  return { ledger, secret };
}

/**
 * Replaces the ledger that was read. Throws a conflict if it is no longer the stored one. Keeps sealed keys byte for byte,
 * except those whose state became final: this write destroys their private halves.
 */
export async function replaceLedger(
  client: Secrets,
  record: LedgerRecord,
  ledger: Ledger,
  sealed: readonly SealedKey[] = [],
): Promise<LedgerRecord> {
  expectSealed(ledger, [...record.ledger.keys, ...sealed]);
  const kept = new Set(ledger.keys.filter((key) => !isFinal(key.state)).map((key) => key.keyID));
  const gone = record.ledger.keys.filter((key) => !kept.has(key.keyID)).map((key) => sealedEntry(key.keyID));
  const data = Object.fromEntries(Object.entries(record.secret.data ?? {}).filter(([name]) => !gone.includes(name)));
  const secret = await client.replace<Secret>(secrets, {
    ...withoutLastApplied(record.secret),
    data: {
      ...data,
      [ledgerEntry]: encode(serializeLedger(ledger)),
      ...entriesOf(sealed),
    },
  });
  return { ledger, secret };
}

/** Throws if a key would be recorded without its private half: a defect, whose write must not reach the API server. */
function expectSealed(ledger: Ledger, known: readonly { readonly keyID: string }[]): void {
  const keyIDs = new Set(known.map(({ keyID }) => keyID));
  const bare = sealedKeys(ledger).find(({ keyID }) => !keyIDs.has(keyID));
  if (bare) throw new Error(`key ${bare.keyID} would be recorded without its private half`);
}

function entriesOf(sealed: readonly SealedKey[]): Record<string, string> {
  return Object.fromEntries(sealed.map(({ keyID, jwe }) => [sealedEntry(keyID), encode(jwe)]));
}

/** The Secret, or `undefined` if the API server reports that this object does not exist. */
export function getSecret(client: Secrets, namespace: string, name: string): Promise<Secret | undefined> {
  return ifExists(client.get<Secret>(secrets, namespace, name));
}

const lastAppliedAnnotation = 'kubectl.kubernetes.io/last-applied-configuration';

/** Removes the copy that `kubectl apply` keeps in an annotation: private halves in it would outlive their destruction. */
export function withoutLastApplied(secret: Secret): Secret {
  const { [lastAppliedAnnotation]: copy, ...annotations } = secret.metadata.annotations ?? {};
  return copy === undefined ? secret : { ...secret, metadata: { ...secret.metadata, annotations } };
}

function entry(secret: Secret, name: string): string | undefined {
  const value = secret.data?.[name];
  return value === undefined ? undefined : decode(value);
}

export function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}

export function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}
