import type { KeyObject } from 'node:crypto';
import { importGrantAnnotation } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import { ImportKeyError, importPrivateKey, importPublicKey } from '../crypto/import-key.ts';
import type { KeyFacts } from '../domain/ledger.ts';
import type { Fault, ImportState } from '../domain/situation.ts';
import type { KubeClient } from '../kube/client.ts';
import { getSecret } from './ledger-secret.ts';

/** The keys of a former system, read while a registration has no ledger. Nothing is made in place of one that is refused. */

export interface Imports {
  readonly state: ImportState;
  readonly privateKey?: KeyObject;
}

type Secrets = Pick<KubeClient, 'get' | 'create' | 'replace'>;

export async function readImports(client: Secrets, object: LtiRegistration): Promise<Imports | undefined> {
  const wanted = object.spec.import;
  if (!wanted) return undefined;
  const signing = wanted.secretName === undefined ? undefined : await readSigningKey(client, object, wanted.secretName);
  if (signing && 'reason' in signing) return { state: { signing, verifyOnly: [] } };
  const moduli = new Map(signing ? [[signing.keyID, signing.publicJWK.n]] : []);
  const verifyOnly: (KeyFacts & { until: number })[] = [];
  for (const [index, { publicJWK, until }] of (wanted.verifyOnly ?? []).entries()) {
    try {
      const facts = importPublicKey({ ...publicJWK }, publicJWK.kid);
      const { n, kid } = facts.publicJWK;
      // Only one of the two could be served, and the tokens of the other would be rejected.
      if ((moduli.get(kid) ?? n) !== n) throw new ImportKeyError(`its key ID ${kid} is also that of another key`);
      moduli.set(kid, n);
      verifyOnly.push({ ...facts, until: Date.parse(until) });
    } catch (error) {
      return { state: { signing: refused(`spec.import.verifyOnly[${index}].publicJWK`, error), verifyOnly: [] } };
    }
  }
  if (!signing) return { state: { verifyOnly } };
  const { privateKey, ...facts } = signing;
  return { state: { signing: facts, verifyOnly }, privateKey };
}

async function readSigningKey(
  client: Secrets,
  { metadata, spec }: LtiRegistration,
  secretName: string,
): Promise<Fault | (KeyFacts & { readonly privateKey: KeyObject })> {
  const namespace = metadata.namespace ?? '';
  const secret = await getSecret(client, namespace, secretName);
  const name = `Secret ${namespace}/${secretName}`;
  if (!secret) {
    return {
      reason: 'ImportSecretMissing',
      message: `${name}, named by spec.import.secretName, does not exist; no key is made until it does`,
    };
  }
  // Whoever may write registrations may not thereby read every Secret of the namespace.
  if (secret.metadata.annotations?.[importGrantAnnotation] !== metadata.name) {
    const command = `kubectl annotate secret ${secretName} -n ${namespace} ${importGrantAnnotation}=${metadata.name}`;
    return {
      reason: 'ImportNotGranted',
      message: `${name} does not grant its import to registration ${metadata.name}; who may edit it grants it with: ${command}`,
    };
  }
  const entry = spec.import?.entry ?? 'private.pem';
  const value = secret.data?.[entry];
  if (value === undefined) {
    return {
      reason: 'ImportKeyRefused',
      message: `${name} has no entry ${entry}; name the right one in spec.import.entry`,
    };
  }
  try {
    return importPrivateKey(Buffer.from(value, 'base64').toString(), spec.import?.keyID);
  } catch (error) {
    return refused(`${name}, entry ${entry}`, error);
  }
}

function refused(what: string, error: unknown): Fault {
  if (!(error instanceof ImportKeyError)) throw error;
  return { reason: 'ImportKeyRefused', message: `${what} is not taken over: ${error.message}` };
}
