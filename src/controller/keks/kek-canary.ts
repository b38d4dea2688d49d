import type { webcrypto } from 'node:crypto';
import { canarySecretName, secrets } from '../../api/names.ts';
import type { LtiKey } from '../../api/objects.ts';
import { canaryOpens, isCanary, makeCanary } from '../../crypto/canary.ts';
import { KekError } from '../../crypto/errors.ts';
import type { Kek, KekProvider, KekStatus } from '../../crypto/kek-provider.ts';
import type { WrappedKey } from '../../crypto/wrapped-key.ts';
import { type Duration, second } from '../../domain/duration.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Informer } from '../../kube/informer.ts';
import { ApiError, isAlreadyExists, isConflict, TransportError } from '../../kube/errors.ts';
import type { Secret } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import { getSecret } from '../secrets/ledger-secret.ts';

const secretType = 'Opaque';

/** Thousands of registrations request the KEK, and each check costs a request: a problem is cached for this long. */
const problemsCachedFor: Duration = 5 * second;
const mostAttempts = 3;

export interface CanaryOptions {
  readonly keks: KekProvider;
  readonly client: Pick<KubeClient, 'get' | 'create' | 'replace'>;
  /** The operator's own. */
  readonly namespace: string;
  readonly keys: Pick<Informer<LtiKey>, 'list' | 'isUsable'>;
  readonly clock: Clock;
}

/** The last check of a KEK ID. It is repeated for other bytes, and once the key is confirmed. */
interface Check {
  readonly key: webcrypto.CryptoKey;
  readonly problem: Promise<KekError | undefined>;
  confirmed: boolean;
  validUntil: number;
}

/**
 * Refuses a key-encryption key whose bytes changed under the same ID before it seals anything: what it sealed would be lost as
 * soon as the former key is back. For each KEK ID, a Secret of the operator's namespace holds a canary, which was sealed when
 * the ID was first used.
 *
 * A key may seal if it decrypted a sealed private key in this process, or if it decrypts its canary. Opening reads no canary,
 * except to report why a sealed key did not decrypt.
 */
export class CanariedKekProvider implements KekProvider {
  readonly #options: CanaryOptions;
  readonly #checks = new Map<string, Check>();
  #canaryIDs: readonly string[] = [];

  constructor(options: CanaryOptions) {
    this.#options = options;
  }

  async status(): Promise<KekStatus> {
    const { keks, keys } = this.#options;
    const status = await keks.status();
    // Nothing is sealed before the LtiKeys have been read. A namespace that refuses them does not stop the others.
    if (status.sealingKekID === undefined || !keys.isUsable()) return status;
    try {
      const kek = await keks.sealingKey();
      const problem = await this.#check(kek, 'seal');
      if (!problem) return status;
      const sealingKekID = isObstacle(problem, kek) ? undefined : status.sealingKekID;
      return { sealingKekID, problems: [problem, ...status.problems] };
    } catch (error) {
      if (!(error instanceof KekError)) throw error;
      return { sealingKekID: undefined, problems: [error, ...status.problems] };
    }
  }

  /** Throws `KEKChanged` for other bytes, and `KEKUnverified` if the key decrypted neither a canary nor a sealed key. */
  async sealingKey(): Promise<Kek> {
    const kek = await this.#options.keks.sealingKey();
    if (!this.#options.keys.isUsable()) throw this.#unverified(kek.id, 'the LtiKeys have not been read yet');
    const problem = await this.#check(kek, 'seal');
    if (problem && isObstacle(problem, kek)) throw problem;
    return kek;
  }

  async openingKey(kekID: string, wrapped?: WrappedKey): Promise<Kek> {
    const kek = await this.#options.keks.openingKey(kekID, wrapped);
    return { ...kek, verify: async () => (kek.isConfirmed() ? undefined : this.#check(kek, 'open')) };
  }

  /** KEK IDs that had a canary when the Secret was last read: all that were ever used. */
  canaryIDs(): readonly string[] {
    return this.#canaryIDs;
  }

  /** Runs one check of a key at a time, and after a problem one in a few seconds. A check to seal creates a missing canary. */
  #check(kek: Kek, purpose: 'seal' | 'open'): Promise<KekError | undefined> {
    const { clock } = this.#options;
    const name = `${purpose} ${kek.id}`;
    const last = this.#checks.get(name);
    const isCurrent = last?.key === kek.key && last.confirmed === kek.isConfirmed();
    if (isCurrent && clock.monotonic() < last.validUntil) return last.problem;
    const problem = this.#attempt(kek, purpose).then((found) => {
      check.confirmed = kek.isConfirmed();
      check.validUntil = found ? clock.monotonic() + problemsCachedFor : Infinity;
      return found;
    });
    const check: Check = { key: kek.key, problem, confirmed: kek.isConfirmed(), validUntil: Infinity };
    this.#checks.set(name, check);
    return problem;
  }

  async #attempt(kek: Kek, purpose: 'seal' | 'open'): Promise<KekError | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#verify(kek, purpose);
        return undefined;
      } catch (error) {
        if (error instanceof KekError) return error;
        const raced = isConflict(error) || isAlreadyExists(error);
        if (!raced || attempt === mostAttempts) return this.#unverified(kek.id, refusalOf(error));
      }
    }
  }

  async #verify(kek: Kek, purpose: 'seal' | 'open'): Promise<void> {
    const secret = await this.#read(kek.id);
    const canary = canaryOf(secret, kek.id);
    if (canary !== undefined) {
      if (!(await canaryOpens(canary, kek, this.#options.keks))) throw this.#changed(kek.id);
    } else {
      if (purpose === 'open') throw this.#unverified(kek.id, 'the canary is missing');
      await this.#addCanary(kek, secret);
    }
    kek.confirm();
  }

  /** Throws for a Secret, or an entry of this KEK, that is not the operator's. */
  async #read(id: string): Promise<Secret | undefined> {
    const { client, namespace } = this.#options;
    const secret = await getSecret(client, namespace, canarySecretName);
    if (!secret) return undefined;
    if (secret.type !== secretType) {
      throw this.#unverified(id, `the type of the Secret is not ${secretType}, so it is not the operator's. Rename it`);
    }
    this.#canaryIDs = Object.keys(secret.data ?? {});
    const canary = canaryOf(secret, id);
    if (canary !== undefined && !isCanary(canary, id)) {
      throw this.#unverified(id, `its entry ${id} is not a canary. Restore the Secret from a backup`);
    }
    return secret;
  }

  async #addCanary(kek: Kek, secret: Secret | undefined): Promise<void> {
    const { client, namespace, keys } = this.#options;
    const foreign = Object.keys(secret?.data ?? {}).find((name) => !isCanary(canaryOf(secret, name)!, name));
    if (foreign !== undefined) {
      throw this.#unverified(kek.id, `the Secret has an entry ${foreign} that is not a canary. Remove it`);
    }
    if (!kek.isConfirmed() && keys.list().some(({ status }) => status?.kekID === kek.id)) {
      const what = `the canary is missing, LtiKeys report private keys sealed under ${kek.id}, and this key has decrypted none of them. Restore the Secret from a backup, put the former key back, or give the new key a name of its own`;
      throw this.#unverified(kek.id, what);
    }
    const data = { ...secret?.data, [kek.id]: Buffer.from(await makeCanary(kek)).toString('base64') };
    if (secret) {
      await client.replace<Secret>(secrets, { ...secret, data });
    } else {
      const metadata = { name: canarySecretName, namespace };
      await client.create<Secret>(secrets, { apiVersion: 'v1', kind: 'Secret', metadata, type: secretType, data });
    }
    this.#canaryIDs = Object.keys(data);
  }

  #unverified(id: string, what: string): KekError {
    const message = `key-encryption key ${id} cannot be checked against its canary in Secret ${this.#options.namespace}/${canarySecretName}: ${what}. The operator checks again every few seconds`;
    return new KekError('KEKUnverified', message);
  }

  #changed(id: string): KekError {
    const message = `key-encryption key ${id} is not the one that was first used under this name: it does not decrypt its canary in Secret ${this.#options.namespace}/${canarySecretName}. Put the former key back and give the new one a name of its own`;
    return new KekError('KEKChanged', message);
  }
}

/** A key that decrypted something is the right one, whatever the state of its canary. */
function isObstacle({ reason }: KekError, kek: Kek): boolean {
  return reason !== 'KEKUnverified' || !kek.isConfirmed();
}

function canaryOf(secret: Secret | undefined, id: string): string | undefined {
  const data = secret?.data ?? {};
  return Object.hasOwn(data, id) ? Buffer.from(data[id]!, 'base64').toString() : undefined;
}

/** Why a request failed, and what to do. An unexpected error is not quoted: its text might hold secrets. */
function refusalOf(error: unknown): string {
  if (error instanceof TransportError) return `the API server gave no usable answer (${error.failure})`;
  if (!(error instanceof ApiError)) return 'an unexpected error';
  const answer = `the API server answered ${error.status} ${error.reason}`;
  if (error.status === 403) {
    return `${answer}. Let the operator's ServiceAccount get, create and update that Secret; also check quotas and admission policies`;
  }
  return error.status === 422 ? `${answer}. Check admission policies and whether the Secret is immutable` : answer;
}
