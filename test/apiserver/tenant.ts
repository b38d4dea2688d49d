import { createHash, createPrivateKey } from 'node:crypto';
import { expect } from 'chai';
import { calculateJwkThumbprint, CompactSign, compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose';
import {
  allKeysPath,
  apiVersion,
  ledgerEntry,
  ledgerSecretName,
  ltiKeys,
  ltiRegistrations,
  namespacePath,
  registrationPath,
  secrets,
} from '../../src/api/names.ts';
import type { LtiKey, LtiRegistration } from '../../src/api/objects.ts';
import type { KeyState } from '../../src/domain/key-state.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { isConflict, isObjectNotFound } from '../../src/kube/errors.ts';
import type { KubeObject, ResourceType, Secret } from '../../src/kube/objects.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { controlPlane, createNamespace, installCrds } from './control-plane-fixture.ts';
import { until } from './operator.ts';

/** People who use the operator in one namespace, with every right: they apply, edit, break, and look. */

type Spec = LtiRegistration['spec'];
type Condition = NonNullable<NonNullable<LtiRegistration['status']>['conditions']>[number];

export interface Served {
  readonly status: number;
  readonly text: string;
  readonly cacheControl: string;
  /** Sorted. */
  readonly keyIDs: readonly string[];
}

/** A key as the ledger records it. */
export interface Row {
  readonly revision: number;
  readonly keyID: string;
  readonly state: KeyState;
  readonly publishedAt?: string;
  readonly activatedAt?: string;
  readonly stoppedSigningAt?: string;
  readonly retireAt?: string;
}

export interface LedgerContent {
  readonly serial: number;
  readonly highestRevision: number;
  readonly activeKeyID?: string;
  readonly keys: readonly Row[];
}

const issuer = 'https://platform.example.org';

export class Tenant {
  readonly namespace: string;
  readonly client: KubeClient;

  private constructor(namespace: string, client: KubeClient) {
    this.namespace = namespace;
    this.client = client;
  }

  static async inNewNamespace(prefix: string): Promise<Tenant> {
    await installCrds();
    const namespace = await createNamespace(prefix);
    const client = KubeClient.load({ kubeconfig: controlPlane().kubeconfig, clock: systemClock });
    // A CRD that is called established may still answer 429 for a moment.
    for (const type of [ltiRegistrations, ltiKeys]) await until(() => client.list(type, { namespace }), type.plural);
    return new Tenant(namespace, client);
  }

  leave(): Promise<void> {
    return this.client.close();
  }

  /** Delivered to `<name>-signing-key` unless `spec` says otherwise. */
  apply(name: string, spec: Partial<Spec> = {}): Promise<LtiRegistration> {
    const delivery = { secretName: `${name}-signing-key` };
    return this.client.create<LtiRegistration>(ltiRegistrations, {
      apiVersion,
      kind: 'LtiRegistration',
      metadata: { name, namespace: this.namespace },
      // The API server fills in the defaults.
      spec: { issuer, clientID: 'tool-1', tokenEndpoint: `${issuer}/token`, delivery, ...spec } as Spec,
    });
  }

  registration(name: string): Promise<LtiRegistration> {
    return this.client.get<LtiRegistration>(ltiRegistrations, this.namespace, name);
  }

  edit(name: string, spec: Partial<Spec>): Promise<LtiRegistration> {
    return this.change<LtiRegistration>(ltiRegistrations, name, (object) => ({
      ...object,
      spec: { ...object.spec, ...spec },
    }));
  }

  annotate(name: string, annotations: Readonly<Record<string, string>>): Promise<LtiRegistration> {
    return this.change<LtiRegistration>(ltiRegistrations, name, (object) => ({
      ...object,
      metadata: { ...object.metadata, annotations },
    }));
  }

  async remove(type: ResourceType, name: string): Promise<void> {
    const { code, stderr } = await controlPlane().kubectlRun([
      'delete',
      `${type.plural}.${type.group}`.replace(/\.$/, ''),
      name,
      '--namespace',
      this.namespace,
      '--wait=false',
    ]);
    expect(code, stderr).to.equal(0);
  }

  key(name: string): Promise<LtiKey> {
    return this.client.get<LtiKey>(ltiKeys, this.namespace, name);
  }

  async keys(registration: string): Promise<readonly LtiKey[]> {
    const fieldSelector = `spec.registrationRef.name=${registration}`;
    const { items } = await this.client.list<LtiKey>(ltiKeys, { namespace: this.namespace, fieldSelector });
    return items.toSorted((a, b) => a.spec.revision - b.spec.revision);
  }

  /** As in `canvas-1 Retired, canvas-2 Active`. */
  async states(registration: string): Promise<string> {
    const keys = await this.keys(registration);
    return keys.map(({ metadata, status }) => `${metadata.name} ${status?.state ?? '-'}`).join(', ');
  }

  async secret(name: string): Promise<Secret | undefined> {
    try {
      return await this.client.get<Secret>(secrets, this.namespace, name);
    } catch (error) {
      if (isObjectNotFound(error)) return undefined;
      throw error;
    }
  }

  async ledgerSecret(registration: string): Promise<Secret> {
    const secret = await this.secret(ledgerSecretName(registration));
    if (!secret) throw new Error(`${registration} has no ledger`);
    return secret;
  }

  async ledger(registration: string): Promise<LedgerContent> {
    return parseLedger(await this.ledgerSecret(registration));
  }

  /** Puts a Secret in place of the one of its name, whatever version that has. */
  async replaceSecret(name: string, change: (data: Readonly<Record<string, string>>) => Record<string, string>) {
    return this.change<Secret>(secrets, name, (secret) => ({ ...secret, data: change(secret.data ?? {}) }));
  }

  /** As `kubectl create --filename backup.yaml` does, after `kubectl delete` of what stands in its place. */
  async restore(backup: Secret): Promise<void> {
    if (await this.secret(backup.metadata.name)) await this.remove(secrets, backup.metadata.name);
    const { uid: _u, resourceVersion: _r, creationTimestamp: _c, ...metadata } = backup.metadata;
    await this.client.create<Secret>(secrets, { ...backup, metadata });
  }

  async condition(registration: string, type: string): Promise<Condition | undefined> {
    const { status } = await this.registration(registration);
    return status?.conditions?.find((condition) => condition.type === type);
  }

  /** `True SigningKeyReady`, for instance. */
  async says(registration: string, type: string): Promise<string> {
    const condition = await this.condition(registration, type);
    return condition ? `${condition.status} ${condition.reason}` : 'nothing';
  }

  async untilSays(registration: string, type: string, verdict: string): Promise<string> {
    let said = '';
    const message = await until(async () => {
      const condition = await this.condition(registration, type);
      said = condition ? `${condition.status} ${condition.reason}: ${condition.message}` : 'nothing';
      if (!said.startsWith(`${verdict}:`)) throw new Error(`it says ${said}`);
      return condition!;
    }, `${registration} says ${type}=${verdict}`);
    return message.message;
  }

  untilStates(registration: string, states: string): Promise<void> {
    return eventually(async () => expect(await this.states(registration)).to.equal(states));
  }

  async served(url: string, path: string): Promise<Served> {
    const response = await fetch(url + path);
    const body = await response.text();
    const keyIDs = response.status === 200 ? parseKeySet(body).keys.map(({ kid }) => kid!) : [];
    const cacheControl = response.headers.get('cache-control') ?? '';
    return { status: response.status, text: body, cacheControl, keyIDs: keyIDs.toSorted() };
  }

  servedOf(url: string, registration: string): Promise<Served> {
    return this.served(url, registrationPath(this.namespace, registration));
  }

  /** What a tool has mounted, after checking that all of it is one key. */
  async delivered(registration: string, secretName = `${registration}-signing-key`): Promise<DeliveredKey> {
    const secret = await this.secret(secretName);
    if (!secret) throw new Error(`Secret ${secretName} does not exist`);
    const kid = text(secret, 'kid');
    const privateKey = createPrivateKey(text(secret, 'private.pem'));
    const { n, e } = privateKey.export({ format: 'jwk' });
    expect(await calculateJwkThumbprint({ kty: 'RSA', n: n!, e: e! }), 'thumbprint of private.pem').to.equal(kid);
    expect(JSON.parse(text(secret, 'private.jwk'))).to.deep.include({ kid, n, e, kty: 'RSA', alg: 'RS256' });
    return {
      kid,
      bits: privateKey.asymmetricKeyDetails!.modulusLength!,
      sign: (payload) =>
        new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg: 'RS256', kid }).sign(privateKey),
    };
  }

  /** Whether a platform that fetches the registration's document now accepts the token. */
  async accepts(url: string, registration: string, token: string): Promise<boolean> {
    const { status, text: body } = await this.servedOf(url, registration);
    if (status !== 200) return false;
    try {
      await compactVerify(token, createLocalJWKSet(parseKeySet(body)));
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Everything that has to agree about a registration that is Ready: ledger, LtiKeys, sealed entries, delivery Secret and
   * every document; and that a token signed now is accepted.
   */
  async expectInStep(url: string, registration: string): Promise<void> {
    const secret = await this.ledgerSecret(registration);
    const ledger = parseLedger(secret);
    const live = ledger.keys.filter(({ state }) => state === 'Next' || state === 'Active' || state === 'Retiring');
    const keyIDs = live.map(({ keyID }) => keyID).toSorted();
    expect(
      live.filter(({ publishedAt }) => publishedAt === undefined),
      'not observed as published',
    ).to.deep.equal([]);
    const active = ledger.keys.filter(({ state }) => state === 'Active');
    expect(active.map(({ keyID }) => keyID)).to.deep.equal([ledger.activeKeyID]);
    expect(Object.keys(secret.data ?? {}).toSorted(), 'entries of the ledger').to.deep.equal(
      [...keyIDs.map((keyID) => `${keyID}.jwe`), ledgerEntry].toSorted(),
    );
    const faces = await this.keys(registration);
    expect(faces.map(({ metadata, spec, status }) => [metadata.name, spec.keyID, status?.state])).to.deep.equal(
      ledger.keys.map(({ revision, keyID, state }) => [`${registration}-${revision}`, keyID, state]),
    );
    const { metadata, status, spec } = await this.registration(registration);
    expect(status?.observedGeneration, 'the newest spec was seen').to.equal(metadata.generation);
    expect(status?.activeKey?.keyID).to.equal(ledger.activeKeyID);
    expect(await this.says(registration, 'Ready')).to.equal('True SigningKeyReady');
    expect(await this.says(registration, 'Reconciling'), 'nothing is under way').to.match(/^False /);
    expect((await this.servedOf(url, registration)).keyIDs, 'the document').to.deep.equal(keyIDs);
    for (const path of [namespacePath(this.namespace), allKeysPath]) {
      expect((await this.served(url, path)).keyIDs, path).to.include.members(keyIDs);
    }
    const secretName = spec.delivery?.secretName;
    if (secretName === undefined) return;
    const delivered = await this.delivered(registration, secretName);
    expect(delivered.kid, 'delivered').to.equal(ledger.activeKeyID);
    expect(await this.accepts(url, registration, await delivered.sign('now')), 'a token is accepted').to.equal(true);
  }

  /** A revoked key is in no document and no delivery Secret, which holds another key or none. */
  untilRevoked(url: string, registration: string, keyID: string): Promise<void> {
    return eventually(async () => {
      expect((await this.servedOf(url, registration)).keyIDs, 'the document').to.not.include(keyID);
      const data = (await this.secret(`${registration}-signing-key`))?.data ?? {};
      expect(data['kid'], 'delivered').to.not.equal(base64(keyID));
      if (data['kid'] === undefined) expect(data).to.not.have.any.keys('private.pem', 'private.jwk');
    });
  }

  untilInStep(url: string, registration: string): Promise<void> {
    return eventually(() => this.expectInStep(url, registration));
  }

  async change<T extends KubeObject>(type: ResourceType, name: string, change: (object: T) => T): Promise<T> {
    for (;;) {
      try {
        return await this.client.replace<T>(type, change(await this.client.get<T>(type, this.namespace, name)));
      } catch (error) {
        if (!isConflict(error)) throw error;
      }
    }
  }

  async changeStatus<T extends KubeObject>(type: ResourceType, name: string, change: (object: T) => T): Promise<T> {
    for (;;) {
      try {
        return await this.client.replaceStatus<T>(type, change(await this.client.get<T>(type, this.namespace, name)));
      } catch (error) {
        if (!isConflict(error)) throw error;
      }
    }
  }
}

export interface DeliveredKey {
  readonly kid: string;
  readonly bits: number;
  sign(payload: string): Promise<string>;
}

/** Repeats `assertion` until it holds; else fails with what it said last. */
export async function eventually(assertion: () => Promise<unknown>): Promise<void> {
  await until(async () => {
    await assertion();
    return true;
  }, 'an assertion to hold');
}

export function text(secret: Secret, entry: string): string {
  const value = secret.data?.[entry];
  if (value === undefined) throw new Error(`Secret ${secret.metadata.name} has no ${entry}`);
  return Buffer.from(value, 'base64').toString();
}

export function base64(content: string): string {
  return Buffer.from(content).toString('base64');
}

/** A public JWK that nobody has the private half of; well formed, with its true thumbprint as key ID. */
export async function strangersJwk(seed: string): Promise<LtiKey['spec']['publicJWK']> {
  const bytes = Array.from({ length: 8 }, (_, index) => createHash('sha256').update(`${seed}${index}`).digest());
  const n = Buffer.concat(
    bytes.map((byte, index) => (index === 0 ? Buffer.concat([Buffer.from([0xc1]), byte.subarray(1)]) : byte)),
  );
  const jwk = { kty: 'RSA', n: n.toString('base64url'), e: 'AQAB' } as const;
  return { ...jwk, use: 'sig', alg: 'RS256', kid: await calculateJwkThumbprint(jwk) };
}

function parseLedger(secret: Secret): LedgerContent {
  const ledger: LedgerContent = JSON.parse(text(secret, ledgerEntry));
  return ledger;
}

function parseKeySet(body: string): JSONWebKeySet {
  const keySet: JSONWebKeySet = JSON.parse(body);
  return keySet;
}
