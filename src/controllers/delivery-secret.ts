import type { KeyObject } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { deliverySecretType, registrationLabel, secrets } from '../api/names.ts';
import type { LtiRegistration } from '../api/objects.ts';
import { privateJwk, privatePem, publicPem } from '../crypto/key-pair.ts';
import { activeKey, type Ledger, liveKeys } from '../domain/ledger.ts';
import type { DeliveryState, Fault } from '../domain/situation.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Secret } from '../kube/objects.ts';
import { getSecret } from './ledger-secret.ts';

/** The Secret that a tool mounts: the signing key in the forms that LTI libraries read, and nothing of any other key. */

const registrationAnnotation = registrationLabel;
const keyIDAnnotation = 'ltikeys.dev/key-id';
const serialAnnotation = 'ltikeys.dev/ledger-serial';

type Secrets = Pick<KubeClient, 'get' | 'create' | 'replace' | 'delete'>;

export interface DeliveryReading {
  readonly state: DeliveryState;
  readonly wanted?: Secret;
  readonly leftovers: readonly Secret[];
  readonly fault?: Fault;
}

export async function readDelivery(
  client: Secrets,
  ledger: Ledger,
  wantedName: string | undefined,
): Promise<DeliveryReading> {
  const { namespace, registration } = ledger;
  const leftovers: Secret[] = [];
  for (const name of ledger.deliverySecretNames.filter((recorded) => recorded !== wantedName)) {
    const secret = await getSecret(client, namespace, name);
    if (secret && isOurs(secret, registration)) leftovers.push(secret);
  }
  const names = leftovers.map((secret) => secret.metadata.name);
  const wanted = wantedName === undefined ? undefined : await getSecret(client, namespace, wantedName);
  if (!wanted) return { state: { leftovers: names }, leftovers };
  if (!isOurs(wanted, registration)) {
    const message = `Secret ${namespace}/${wantedName} exists and is not the delivery Secret of registration ${registration}; it is left alone: choose another spec.delivery.secretName or delete that Secret`;
    return { state: { leftovers: names }, leftovers, fault: { reason: 'DeliverySecretTaken', message } };
  }
  const keyID = wanted.data?.['kid'];
  return {
    state: { leftovers: names, ...(keyID ? { keyID: Buffer.from(keyID, 'base64').toString() } : {}) },
    wanted,
    leftovers,
  };
}

/**
 * Makes the wanted Secret hold the ledger's signing key, then removes earlier ones. Returns whether anything changed.
 * Never goes back: a Secret that was written from a newer ledger is left as it is.
 */
export async function applyDelivery(
  client: Secrets,
  object: LtiRegistration,
  ledger: Ledger,
  reading: DeliveryReading,
  privateKeys: ReadonlyMap<string, KeyObject>,
): Promise<boolean> {
  if (reading.fault) return false;
  const name = object.spec.delivery?.secretName;
  const wrote = name !== undefined && (await applyWanted(client, object, name, ledger, reading.wanted, privateKeys));
  // The tool keeps what it has until the new Secret is there.
  if (name !== undefined && !wrote && reading.state.keyID !== ledger.activeKeyID) return false;
  for (const secret of reading.leftovers) await client.delete(secrets, secret);
  return wrote || reading.leftovers.length > 0;
}

async function applyWanted(
  client: Secrets,
  object: LtiRegistration,
  name: string,
  ledger: Ledger,
  existing: Secret | undefined,
  privateKeys: ReadonlyMap<string, KeyObject>,
): Promise<boolean> {
  const active = activeKey(ledger);
  const privateKey = active && privateKeys.get(active.keyID);
  // A signing key that does not open is not a reason to take the one away that the tool has.
  if (active && !privateKey) return false;
  if (!active && !existing) return false;
  if (existing && Number(existing.metadata.annotations?.[serialAnnotation] ?? 0) > ledger.serial) return false;
  const data = encodeAll({
    ...(active && privateKey ? signingKeyEntries(active.keyID, privateKey) : {}),
    'jwks.json': JSON.stringify({ keys: liveKeys(ledger).map((key) => key.publicJWK) }),
    'registration.json': JSON.stringify(registrationEntry(object), undefined, 2),
  });
  if (existing && isDeepStrictEqual(existing.data, data)) return false;
  const secret: Secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      ...(existing?.metadata ?? { name, namespace: ledger.namespace }),
      labels: { ...existing?.metadata.labels, [registrationLabel]: ledger.registration },
      annotations: {
        ...existing?.metadata.annotations,
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

function signingKeyEntries(keyID: string, privateKey: KeyObject): Record<string, string> {
  return {
    kid: keyID,
    'private.pem': privatePem(privateKey),
    'public.pem': publicPem(privateKey),
    'private.jwk': JSON.stringify(privateJwk({ keyID, privateKey })),
  };
}

/** The registration under the standard's names (OpenID Connect Discovery 1.0 §3, RFC 7591), as tool libraries want it. */
function registrationEntry({ spec, status }: LtiRegistration): object {
  return {
    issuer: spec.issuer,
    client_id: spec.clientID,
    authorization_endpoint: spec.authorizationEndpoint,
    token_endpoint: spec.tokenEndpoint,
    token_audience: spec.tokenAudience ?? spec.tokenEndpoint,
    jwks_uri: spec.jwksURI,
    deployment_ids: spec.deploymentIDs,
    tool_jwks_uri: status?.jwksURL,
  };
}

function encodeAll(entries: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(entries).map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
  );
}
