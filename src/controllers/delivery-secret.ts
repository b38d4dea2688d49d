import type { KeyObject } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { deliverySecretType, registrationLabel, secrets } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import { activeKey, type Ledger } from '../domain/ledger.ts';
import type { DeliveryState, Fault } from '../domain/situation.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Secret } from '../kube/objects.ts';
import { deliveryContents, readRecipient, type Recipient } from './delivery-contents.ts';
import { getSecret } from './ledger-secret.ts';

/** The Secret that a tool mounts. One that is not the operator's is never touched. */

/** On Secrets a label can be queried, and is edited; what makes a Secret ours is its type and this annotation. */
const registrationAnnotation = registrationLabel;
const keyIDAnnotation = 'ltikeys.dev/key-id';
const serialAnnotation = 'ltikeys.dev/ledger-serial';

type Secrets = Pick<KubeClient, 'get' | 'create' | 'replace' | 'delete'>;

export interface DeliveryReading {
  readonly state: DeliveryState;
  readonly wanted?: Secret;
  readonly leftovers: readonly Secret[];
  readonly recipient?: Recipient;
  /** Why nothing can be delivered. */
  readonly fault?: Fault;
}

export async function readDelivery(client: Secrets, ledger: Ledger, object: LtiRegistration): Promise<DeliveryReading> {
  const { namespace, registration } = ledger;
  const wantedName = object.spec.delivery?.secretName;
  const leftovers: Secret[] = [];
  for (const name of ledger.deliverySecretNames.filter((recorded) => recorded !== wantedName)) {
    const secret = await getSecret(client, namespace, name);
    if (secret && isOurs(secret, registration)) leftovers.push(secret);
  }
  const names = leftovers.map((secret) => secret.metadata.name);
  if (wantedName === undefined) return { state: { leftovers: names }, leftovers };
  const wanted = await getSecret(client, namespace, wantedName);
  if (wanted && !isOurs(wanted, registration)) {
    const message = `Secret ${namespace}/${wantedName} exists and is not the delivery Secret of registration ${registration}; it is left alone: choose another spec.delivery.secretName or delete that Secret`;
    return { state: { leftovers: names }, leftovers, fault: { reason: 'DeliverySecretTaken', message } };
  }
  const recipient = await readRecipient(object);
  const keyID = wanted?.data?.['kid'];
  return {
    state: { leftovers: names, ...(keyID ? { keyID: Buffer.from(keyID, 'base64').toString() } : {}) },
    leftovers,
    ...(wanted ? { wanted } : {}),
    ...(recipient && 'reason' in recipient ? { fault: recipient } : recipient ? { recipient } : {}),
  };
}

export interface Delivery {
  readonly object: LtiRegistration;
  readonly ledger: Ledger;
  readonly reading: DeliveryReading;
  readonly privateKeys: ReadonlyMap<string, KeyObject>;
  /** Key IDs that every ready replica serves: no other one is delivered anew. */
  readonly servedKeyIDs: ReadonlySet<string>;
  /** Where the tool's keys are served, for tools that tell platforms. */
  readonly jwksURL: string | undefined;
}

/**
 * Makes the wanted Secret hold the ledger's signing key, then removes earlier ones. Returns whether anything changed.
 * Never goes back: a Secret that was written from a newer ledger is left as it is.
 */
export async function applyDelivery(client: Secrets, delivery: Delivery): Promise<boolean> {
  const { object, ledger, reading } = delivery;
  if (reading.fault) return false;
  const name = object.spec.delivery?.secretName;
  const wrote = name !== undefined && (await applyWanted(client, name, delivery));
  // The tool keeps what it has until the new Secret is there.
  if (name !== undefined && !wrote && reading.state.keyID !== ledger.activeKeyID) return false;
  for (const secret of reading.leftovers) await client.delete(secrets, secret);
  return wrote || reading.leftovers.length > 0;
}

async function applyWanted(client: Secrets, name: string, delivery: Delivery): Promise<boolean> {
  const { object, ledger, reading, privateKeys, jwksURL } = delivery;
  const { wanted: existing, recipient } = reading;
  const active = activeKey(ledger);
  const privateKey = active && privateKeys.get(active.keyID);
  // A signing key that does not open is not a reason to take the one away that the tool has.
  if (active && !privateKey) return false;
  // A ledger that was restored may name a key that nobody serves yet.
  if (active && reading.state.keyID !== active.keyID && !delivery.servedKeyIDs.has(active.keyID)) return false;
  if (!active && !existing) return false;
  if (existing && Number(existing.metadata.annotations?.[serialAnnotation] ?? 0) > ledger.serial) return false;
  const signing = active && privateKey ? { keyID: active.keyID, privateKey } : undefined;
  const { data, annotations } = await deliveryContents({ object, ledger, signing, recipient, jwksURL, existing });
  if (existing && isDeepStrictEqual(existing.data, data)) return false;
  const secret: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      ...(existing?.metadata ?? { name, namespace: ledger.namespace }),
      labels: { ...existing?.metadata.labels, [registrationLabel]: ledger.registration },
      annotations: {
        ...existing?.metadata.annotations,
        ...annotations,
        [registrationAnnotation]: ledger.registration,
        [keyIDAnnotation]: active?.keyID ?? '',
        [serialAnnotation]: String(ledger.serial),
      },
    },
    type: deliverySecretType,
    data,
  };
  await (existing ? client.replace(secrets, secret) : client.create(secrets, secret));
  return true;
}

/** Type and annotation together: the type of a Secret never changes, so nobody else's becomes ours by accident. */
export function isOurs(secret: Secret, registration: string): boolean {
  return secret.type === deliverySecretType && secret.metadata.annotations?.[registrationAnnotation] === registration;
}
