import { createHash, type KeyObject } from 'node:crypto';
import {
  bundleAnnotation,
  deliveryKeyIDAnnotation,
  deliveryMetadataAnnotation,
  deliverySecretType,
  registrationLabel,
} from '../../api/names.ts';
import { keyFiles } from '../../crypto/key-files.ts';
import type { Duration } from '../../domain/duration.ts';
import type { DeliveryContent } from '../../domain/effects.ts';
import type { DeliverySecret, Fault } from '../../domain/situation.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Secret } from '../../kube/objects.ts';
import { isUnreadableOrGivenUp } from '../failed-requests.ts';
import { isBundle, memberOf } from './bundle.ts';
import type { DeliveryClient } from './delivery-client.ts';
import { decode, encode, getSecret, withoutLastApplied } from './ledger-secret.ts';
import { encryptFor, type Recipient } from './recipient.ts';

/** The Secret that a tool mounts, as stored: entries in base64, and annotations with what the operator wrote. */

/** The operator's Secrets have this annotation and the type. Users edit labels; the type of a Secret never changes. */
const registrationAnnotation = registrationLabel;
const serialAnnotation = 'ltikeys.dev/ledger-serial';
/** The digest of the private entries that the operator wrote, and the thumbprint of their recipient. */
const proofAnnotation = 'ltikeys.dev/private-digest';

const publicEntries = ['jwks.json', 'registration.json', 'kid'];
const privateEntries = ['private.pem', 'private.jwk', 'private.jwe', 'public.pem'];

type Secrets = Pick<KubeClient, 'get' | 'create' | 'replace'>;
type Writer = Pick<DeliveryClient, 'create' | 'replace'>;
/** What the spec asks for; a former Secret may be of either kind. */
type DeliveryKind = 'single' | 'bundle' | 'any';

export interface DeliveryReading {
  readonly state: DeliverySecret;
  /** If it is the operator's. */
  readonly secret?: Secret;
}

export interface DeliveryPlace {
  readonly namespace: string;
  readonly secretName: string;
  readonly registration: string;
  readonly kind: DeliveryKind;
  /** How long passes of the registration have failed. */
  readonly failingFor: Duration;
}

export async function readDelivery(
  client: Secrets,
  { namespace, secretName, registration, kind, failingFor }: DeliveryPlace,
): Promise<DeliveryReading> {
  try {
    const stored = await getSecret(client, namespace, secretName);
    if (!stored) return { state: { kind: 'absent' } };
    const bundled = isBundle(stored);
    if (kind !== 'any' && bundled !== (kind === 'bundle')) return conflict(stored, registration);
    const secret = bundled ? memberOf(stored, registration) : stored;
    return secret ? deliveryReading(secret, registration) : { state: { kind: 'absent' } };
  } catch (error) {
    if (!isUnreadableOrGivenUp(error, failingFor)) throw error;
    const message = `the operator cannot read Secret ${namespace}/${secretName}, so it delivers nothing: ${error.message}`;
    return { state: { kind: 'unreadable', fault: { reason: 'DeliverySecretUnreadable', message } } };
  }
}

export function deliveryReading(secret: Secret, registration: string): DeliveryReading {
  const { labels = {}, annotations = {} } = secret.metadata;
  if (secret.type !== deliverySecretType || annotations[registrationAnnotation] !== registration) {
    return conflict(secret, registration);
  }
  const data = Object.entries(secret.data ?? {});
  const entries = Object.fromEntries(
    data.flatMap(([entry, value]) => (publicEntries.includes(entry) ? [[entry, decode(value)]] : [])),
  );
  const known = data.every(([entry]) => publicEntries.includes(entry) || privateEntries.includes(entry));
  const present = data.flatMap(([entry]) => (privateEntries.includes(entry) ? [entry] : []));
  const keyID = entries['kid'] ?? annotations[deliveryKeyIDAnnotation];
  const [digest, recipient] = (annotations[proofAnnotation] ?? '').split(' ');
  const bare = withoutLastApplied(secret);
  return {
    secret,
    state: {
      kind: 'ours',
      ...(keyID ? { keyID } : {}),
      intact: known && digestOf(secret.data ?? {}) === digest && (Boolean(keyID) || present.length === 0),
      ...(recipient ? { recipient } : {}),
      serial: Number(annotations[serialAnnotation] ?? 0),
      keyFiles: present,
      entries,
      metadata: { labels, annotations },
      lastApplied: bare !== secret,
    },
  };
}

function conflict({ type, metadata }: Secret, registration: string): DeliveryReading {
  const { namespace, name, annotations = {} } = metadata;
  const what =
    type === deliverySecretType ? (annotations[registrationAnnotation] ?? annotations[bundleAnnotation]) : undefined;
  const owner = what === undefined ? '' : ` (it belongs to ${what})`;
  const message = `Secret ${namespace}/${name} exists and is not the delivery Secret of registration ${registration}${owner}; the operator does not change it: choose another name in spec.delivery or delete that Secret`;
  return { state: { kind: 'foreign', fault: { reason: 'DeliverySecretConflict', message } satisfies Fault } };
}

/** Creates the Secret, or writes over the version that was read. `privateKey` and `recipient` belong to `content.keyID`. */
export async function writeDelivery(
  client: Writer,
  place: { readonly namespace: string; readonly registration: string },
  content: DeliveryContent,
  existing: Secret | undefined,
  signing: { readonly privateKey: KeyObject; readonly recipient: Recipient | undefined } | undefined,
): Promise<Secret> {
  const { keyID, entries, metadata, serial } = content;
  const all = keyID === undefined || !signing ? {} : await privateHalf(keyID, signing);
  const secretEntries: Readonly<Record<string, string>> = Object.fromEntries(
    Object.entries(all).filter(([name]) => content.keyFiles.includes(name)),
  );
  const data = Object.fromEntries(
    Object.entries({ ...entries, ...secretEntries }).map(([k, text]) => [k, encode(text)]),
  );
  const recipient = secretEntries['private.jwe'] === undefined ? '' : (signing?.recipient?.thumbprint ?? '');
  const before = existing && withoutFormerMetadata(withoutLastApplied(existing), metadata);
  const secret: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      ...(before?.metadata ?? { name: content.secretName, namespace: place.namespace }),
      labels: { ...before?.metadata.labels, ...metadata.labels },
      annotations: {
        ...before?.metadata.annotations,
        ...metadata.annotations,
        [serialAnnotation]: String(serial),
        [proofAnnotation]: `${digestOf(data)} ${recipient}`.trimEnd(),
      },
    },
    type: deliverySecretType,
    data,
  };
  return existing ? client.replace(secret) : client.create(secret);
}

/** The Secret without the labels and annotations that an earlier spec had; without a list of the present ones, all of them stay. */
function withoutFormerMetadata(secret: Secret, { annotations }: DeliveryContent['metadata']): Secret {
  if (annotations[deliveryMetadataAnnotation] === undefined) return secret;
  const former = (secret.metadata.annotations?.[deliveryMetadataAnnotation] ?? '').split(' ');
  const kept = (kind: 'labels' | 'annotations'): Record<string, string> =>
    Object.fromEntries(
      Object.entries(secret.metadata[kind] ?? {}).filter(([key]) => !former.includes(`${kind}.${key}`)),
    );
  return { ...secret, metadata: { ...secret.metadata, labels: kept('labels'), annotations: kept('annotations') } };
}

async function privateHalf(
  keyID: string,
  { privateKey, recipient }: { readonly privateKey: KeyObject; readonly recipient: Recipient | undefined },
): Promise<Readonly<Record<string, string>>> {
  const { 'public.pem': pem, ...secret } = keyFiles(keyID, privateKey);
  const open = { 'public.pem': pem };
  if (!recipient) return { ...open, ...secret };
  return { ...open, 'private.jwe': await encryptFor(recipient, secret['private.jwk']) };
}

/** SHA-256 over the private entries, in base64url. It reveals nothing about them. */
function digestOf(data: Readonly<Record<string, string>>): string {
  const hash = createHash('sha256');
  for (const entry of privateEntries) hash.update(`${entry}=${data[entry] ?? ''};`);
  return hash.digest('base64url');
}
