import type { webcrypto } from 'node:crypto';
import { decodeProtectedHeader, flattenedDecrypt, FlattenedEncrypt, type FlattenedJWE } from 'jose';
import { operatorName, secrets } from '../api/names.ts';
import { KekError } from '../crypto/kek-error.ts';
import type { Kek, KekProvider, KekStatus } from '../crypto/keyring.ts';
import { parseWrappedKey, type WrappedKey } from '../crypto/wrapped-key.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Secret } from '../kube/objects.ts';
import { getSecret } from './ledger-secret.ts';

export const canarySecretName = `${operatorName}-kek-canaries`;
const plaintext = 'lti-key-operator KEK canary';
const algorithms = { alg: 'A256KW', enc: 'A256GCM' } as const;

type Secrets = Pick<KubeClient, 'get' | 'create' | 'replace'>;

/**
 * Key-encryption keys that are what they were. For each KEK ID a known text, sealed when the ID was first used, lies in a
 * Secret of the operator's namespace. A key of the same name with other bytes does not open it, and is refused before it
 * seals anything; without this, keys sealed under it would be lost with the next restart of the right one. Of a KMS's key
 * the canary keeps the wrapping key it was sealed under: if the KMS still decrypts that, it will decrypt the others.
 */
export class CanariedKekProvider implements KekProvider {
  readonly #keks: KekProvider;
  readonly #client: Secrets;
  readonly #namespace: string;
  /** Keys whose canary opened. */
  readonly #proved = new WeakSet<webcrypto.CryptoKey>();
  readonly #proving = new Map<webcrypto.CryptoKey, Promise<void>>();

  constructor(options: { keks: KekProvider; client: Secrets; namespace: string }) {
    this.#keks = options.keks;
    this.#client = options.client;
    this.#namespace = options.namespace;
  }

  async status(): Promise<KekStatus> {
    const status = await this.#keks.status();
    if (status.sealingKeyID === undefined) return status;
    try {
      await this.sealingKey();
      return status;
    } catch (error) {
      if (!(error instanceof KekError)) throw error;
      return { sealingKeyID: undefined, problems: [error, ...status.problems] };
    }
  }

  async sealingKey(): Promise<Kek> {
    const kek = await this.#keks.sealingKey();
    if (this.#proved.has(kek.key)) return kek;
    const proving = this.#proving.get(kek.key) ?? this.#prove(kek).finally(() => this.#proving.delete(kek.key));
    this.#proving.set(kek.key, proving);
    await proving;
    return kek;
  }

  /** What a key was sealed under proves itself by opening it. */
  openingKey(kekID: string, wrapped?: WrappedKey): Promise<Kek> {
    return this.#keks.openingKey(kekID, wrapped);
  }

  /** Whoever loses a race to write a canary throws the conflict, and finds the winner's at the next attempt. */
  async #prove(kek: Kek): Promise<void> {
    const secret = await getSecret(this.#client, this.#namespace, canarySecretName);
    const canary = secret?.data?.[kek.id];
    if (canary === undefined) await this.#plant(kek, secret);
    else if (!(await this.#opens(kek, Buffer.from(canary, 'base64').toString()))) throw this.#changed(kek.id);
    this.#proved.add(kek.key);
  }

  async #plant(kek: Kek, secret: Secret | undefined): Promise<void> {
    const header = { ...algorithms, kid: kek.id, ...(kek.wrapped ? { kms: kek.wrapped } : {}) };
    const encrypt = new FlattenedEncrypt(Buffer.from(plaintext)).setProtectedHeader(header);
    const canary = Buffer.from(JSON.stringify(await encrypt.encrypt(kek.key))).toString('base64');
    const data = { ...secret?.data, [kek.id]: canary };
    if (secret) {
      await this.#client.replace<Secret>(secrets, { ...secret, data });
      return;
    }
    const metadata = { name: canarySecretName, namespace: this.#namespace };
    await this.#client.create<Secret>(secrets, { apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data });
  }

  /** Throws `KekError` when a KMS does not give the canary's key. */
  async #opens(kek: Kek, text: string): Promise<boolean> {
    try {
      const canary = JSON.parse(text) as FlattenedJWE;
      const { kms } = decodeProtectedHeader(canary);
      const wrapped =
        kms === undefined
          ? undefined
          : parseWrappedKey(kms, () => {
              throw new TypeError('damaged');
            });
      const then = wrapped ? await this.#keks.openingKey(kek.id, wrapped) : kek;
      const { plaintext: opened } = await flattenedDecrypt(canary, then.key, {
        keyManagementAlgorithms: [algorithms.alg],
        contentEncryptionAlgorithms: [algorithms.enc],
      });
      if (Buffer.from(opened).toString() !== plaintext) return false;
      then.confirm();
      return true;
    } catch (error) {
      if (error instanceof KekError) throw error;
      // Damaged or sealed under other bytes: both mean that nothing vouches for this key.
      return false;
    }
  }

  #changed(id: string): KekError {
    const message = `Key-encryption key ${id} is not the one that was first used under this name: its canary in Secret ${this.#namespace}/${canarySecretName} does not open. Put the former key back and give the new one a name of its own.`;
    return new KekError('KEKChanged', message);
  }
}
