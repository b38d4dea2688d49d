import type { KeyObject } from 'node:crypto';
import { importGrantAnnotation } from '../../api/names.ts';
import type { LtiRegistration } from '../../api/objects.ts';
import { ImportKeyError } from '../../crypto/errors.ts';
import { importPrivateKey, importPublicKey } from '../../crypto/import-key.ts';
import type { Duration, Instant } from '../../domain/duration.ts';
import type { KeyFacts } from '../../domain/ledger.ts';
import type { Fault, ImportState } from '../../domain/situation.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Secret } from '../../kube/objects.ts';
import { isUnreadableOrGivenUp } from '../failed-requests.ts';
import { getSecret } from './ledger-secret.ts';

/**
 * The keys of a former system, read while a registration has no ledger. No key is generated in place of one that is refused.
 * A problem with the spec or the Secret is a fault, and so is a Secret that cannot be read; a request that may soon succeed throws.
 */

export interface Imports {
  readonly state: ImportState;
  readonly privateKey?: KeyObject;
}

type Secrets = Pick<KubeClient, 'get' | 'create' | 'replace'>;
type SigningKey = KeyFacts & { readonly privateKey: KeyObject };
type VerifyOnlyKey = ImportState['verifyOnly'][number];

/** @param failingFor how long passes of the registration have failed */
export async function readImports(
  client: Secrets,
  object: LtiRegistration,
  failingFor: Duration,
): Promise<Imports | undefined> {
  const wanted = object.spec.import;
  if (!wanted) return undefined;
  const { secretName } = wanted;
  const signing = secretName === undefined ? undefined : await readSigningKey(client, object, secretName, failingFor);
  if (signing && 'reason' in signing) return { state: { signing, verifyOnly: [] } };
  const verifyOnly = readVerifyOnlyKeys(wanted.verifyOnly ?? [], signing);
  if ('reason' in verifyOnly) return { state: { signing: verifyOnly, verifyOnly: [] } };
  if (!signing) return { state: { verifyOnly } };
  const { privateKey, ...facts } = signing;
  return { state: { signing: facts, verifyOnly }, privateKey };
}

function readVerifyOnlyKeys(
  wanted: NonNullable<NonNullable<LtiRegistration['spec']['import']>['verifyOnly']>,
  signing: KeyFacts | undefined,
): readonly VerifyOnlyKey[] | Fault {
  const moduli = new Map(signing ? [[signing.keyID, signing.publicJWK.n]] : []);
  const keys: VerifyOnlyKey[] = [];
  for (const [index, { publicJWK, until: text }] of wanted.entries()) {
    const place = `spec.import.verifyOnly[${index}]`;
    const until = instant(text);
    if (until === undefined) {
      const message = `${place}.until is not a time up to the year 9999; write it in UTC, such as 2027-01-31T00:00:00Z`;
      return { reason: 'ImportKeyRefused', message };
    }
    try {
      const facts = importPublicKey({ ...publicJWK }, publicJWK.kid);
      const { n, kid } = facts.publicJWK;
      // Only one of the two could be served, and the tokens of the other would be rejected.
      if ((moduli.get(kid) ?? n) !== n) throw new ImportKeyError(`its key ID ${kid} is also that of another key`);
      moduli.set(kid, n);
      keys.push({ ...facts, until });
    } catch (error) {
      return refused(`${place}.publicJWK`, error);
    }
  }
  return keys;
}

/** The API server accepts impossible date-times (`+99:99`), and times after the year 9999 in UTC. */
function instant(text: string): Instant | undefined {
  const time = Date.parse(text);
  return time < Date.UTC(10_000, 0) ? time : undefined;
}

/** RFC 1123 subdomains: names of Secrets and of registrations. `.` and `..` would change the path of the request. */
const objectName = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;

async function readSigningKey(
  client: Secrets,
  { metadata, spec }: LtiRegistration,
  secretName: string,
  failingFor: Duration,
): Promise<Fault | SigningKey> {
  const namespace = metadata.namespace ?? '';
  if (!objectName.test(secretName)) {
    const message = 'spec.import.secretName is not a name that a Secret can have; correct it';
    return { reason: 'ImportKeyRefused', message };
  }
  const name = `Secret ${namespace}/${secretName}`;
  let secret: Secret | undefined;
  try {
    secret = await getSecret(client, namespace, secretName);
  } catch (error) {
    if (!isUnreadableOrGivenUp(error, failingFor)) throw error;
    const message = `the operator cannot read ${name}, which spec.import.secretName names, so it creates no key: ${error.message}`;
    return { reason: 'ImportSecretUnreadable', message };
  }
  if (!secret) {
    const message = `${name}, which spec.import.secretName names, does not exist; the operator creates no key until it does`;
    return { reason: 'ImportSecretMissing', message };
  }
  const granted = grants(secret);
  if (!granted.includes(metadata.name)) return notGranted(name, secret, granted, metadata.name);
  const entry = spec.import?.entry ?? 'private.pem';
  const value = Object.hasOwn(secret.data ?? {}, entry) ? secret.data?.[entry] : undefined;
  if (value === undefined) {
    const message = `${name} has no entry ${entry}; name the right one in spec.import.entry`;
    return { reason: 'ImportKeyRefused', message };
  }
  try {
    return importPrivateKey(Buffer.from(value, 'base64').toString(), spec.import?.keyID);
  } catch (error) {
    return refused(`${name}, entry ${entry}`, error);
  }
}

/** The registrations that may import from the Secret. A user who can write registrations must not gain access to every Secret. */
function grants({ metadata }: Secret): readonly string[] {
  return (metadata.annotations?.[importGrantAnnotation] ?? '').split(',').map((name) => name.trim());
}

/** The number of names that fit into a command in a condition's message. */
const grantsInCommand = 20;

/** The command keeps existing grants that are valid names. Others are left out, because users paste it into a shell. */
function notGranted(name: string, { metadata }: Secret, granted: readonly string[], registration: string): Fault {
  const others = granted.filter((other) => objectName.test(other));
  const value = [...others, registration].join(',');
  const overwrite = others.length > 0 ? ' --overwrite' : '';
  const how =
    others.length > grantsInCommand
      ? `add ${registration} to the list in its annotation ${importGrantAnnotation}`
      : `run: kubectl annotate secret ${metadata.name} -n ${metadata.namespace}${overwrite} ${importGrantAnnotation}=${value}`;
  const message = `${name} does not grant its import to registration ${registration}. To grant it, ${how}`;
  return { reason: 'ImportNotGranted', message };
}

function refused(what: string, error: unknown): Fault {
  if (!(error instanceof ImportKeyError)) throw error;
  return { reason: 'ImportKeyRefused', message: `${what} cannot be imported: ${error.message}` };
}
