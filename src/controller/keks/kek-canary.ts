import type { webcrypto } from 'node:crypto';
import { operatorName, secrets } from '../../api/names.ts';
import type { LtiKey } from '../../api/objects.ts';
import { canaryOpens, isCanary, makeCanary } from '../../crypto/canary.ts';
import { KekError } from '../../crypto/kek-error.ts';
import type { Kek, KekProvider, KekStatus } from '../../crypto/kek-provider.ts';
import type { WrappedKey } from '../../crypto/wrapped-key.ts';
import { type Duration, second } from '../../domain/duration.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Informer } from '../../kube/informer.ts';
import { ApiError, isAlreadyExists, isConflict, TransportError } from '../../kube/errors.ts';
import type { Secret } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import { getSecret } from '../secrets/ledger-secret.ts';

export const canarySecretName = `${operatorName}-kek-canaries`;
const secretType = 'Opaque';

/** How long a finding is believed: thousands of registrations ask, and each answer would cost a request. */
const believedFor: Duration = 5 * second;
const mostAttempts = 3;

export interface CanaryOptions {
  readonly keks: KekProvider;
  readonly client: Pick<KubeClient, 'get' | 'create' | 'replace'>;
  /** The operator's own. */
  readonly namespace: string;
  readonly keys: Pick<Informer<LtiKey>, 'list' | 'isUsable'>;
  readonly clock: Clock;
}

interface Finding {
  readonly key: webcrypto.CryptoKey;
  readonly problem: Promise<KekError | undefined>;
  believedUntil: number;
}

/**
 * Key-encryption keys that are what they were. For each KEK ID a canary, sealed when the ID was first used, lies in a
 * Secret of the operator's namespace. A key of the same name with other bytes does not open it, and is refused before it
 * seals anything; without this, keys sealed under it would be lost with the next restart of the right one.
 *
 * What a key proves itself by, the strongest first: a sealed private key that it opened in this process; its canary.
 * Opening asks for no canary, except to say why a sealed key did not open.
 */
export class CanariedKekProvider implements KekProvider {
  readonly #options: CanaryOptions;
  /** KEK IDs whose key opened something. The provider behind refuses other bytes under these from then on. */
  readonly #proved = new Set<string>();
  /** KEK IDs whose canary is in its place. */
  readonly #inPlace = new Set<string>();
  readonly #findings = new Map<string, Finding>();
  #named: readonly string[] = [];

  constructor(options: CanaryOptions) {
    this.#options = options;
  }

  async status(): Promise<KekStatus> {
    const { keks, keys } = this.#options;
    const status = await keks.status();
    // Nobody seals before the LtiKeys were read, those of refused namespaces aside: they must not stop the others.
    if (status.sealingKeyID === undefined || !keys.isUsable()) return status;
    try {
      const kek = await keks.sealingKey();
      const problem = await this.#problem(kek);
      if (!problem) return status;
      const sealingKeyID = this.#obstructs(problem, kek) ? undefined : status.sealingKeyID;
      return { sealingKeyID, problems: [problem, ...status.problems] };
    } catch (error) {
      if (!(error instanceof KekError)) throw error;
      return { sealingKeyID: undefined, problems: [error, ...status.problems] };
    }
  }

  /** Throws `KEKChanged` for other bytes, and `KEKUnverified` where neither a canary nor a sealed key vouches for it. */
  async sealingKey(): Promise<Kek> {
    const kek = await this.#options.keks.sealingKey();
    if (!this.#options.keys.isUsable()) throw this.#unverified(kek.id, 'the LtiKeys have not been read yet');
    const problem = await this.#problem(kek);
    if (problem && this.#obstructs(problem, kek)) throw problem;
    return kek;
  }

  async openingKey(kekID: string, wrapped?: WrappedKey): Promise<Kek> {
    const kek = await this.#options.keks.openingKey(kekID, wrapped);
    const confirm = (): void => this.#confirm(kek);
    const verify = async (): Promise<KekError | undefined> =>
      this.#proved.has(kek.id) ? undefined : this.#once('open', kek, () => this.#verify(kek));
    return { ...kek, confirm, verify };
  }

  /** KEK IDs that have a canary, as far as it was read: those that were ever used. */
  namedIDs(): readonly string[] {
    return this.#named;
  }

  #confirm(kek: Kek): void {
    kek.confirm();
    if (this.#proved.has(kek.id)) return;
    this.#proved.add(kek.id);
    this.#findings.clear();
  }

  #obstructs({ reason }: KekError, { id }: Kek): boolean {
    return reason !== 'KEKUnverified' || !this.#proved.has(id);
  }

  async #problem(kek: Kek): Promise<KekError | undefined> {
    return this.#inPlace.has(kek.id) ? undefined : this.#once('seal', kek, () => this.#ensure(kek));
  }

  /** One check of a key at a time, and one in a few seconds. */
  #once(purpose: string, kek: Kek, check: () => Promise<void>): Promise<KekError | undefined> {
    const { clock } = this.#options;
    const name = `${purpose} ${kek.id}`;
    const known = this.#findings.get(name);
    if (known?.key === kek.key && clock.monotonic() < known.believedUntil) return known.problem;
    const problem = this.#settle(kek, check).finally(() => {
      finding.believedUntil = clock.monotonic() + believedFor;
    });
    const finding: Finding = { key: kek.key, problem, believedUntil: Infinity };
    this.#findings.set(name, finding);
    return problem;
  }

  async #settle(kek: Kek, check: () => Promise<void>): Promise<KekError | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        await check();
        return undefined;
      } catch (error) {
        if (error instanceof KekError) return error;
        const raced = isConflict(error) || isAlreadyExists(error);
        if (!raced || attempt === mostAttempts) return this.#unverified(kek.id, refusalOf(error));
      }
    }
  }

  /** That the canary opens, or is planted where there is none. */
  async #ensure(kek: Kek): Promise<void> {
    const secret = await this.#read(kek);
    const canary = canaryOf(secret, kek.id);
    if (canary === undefined) await this.#plant(kek, secret);
    else if (!(await canaryOpens(canary, kek, this.#options.keks))) throw this.#changed(kek.id);
    this.#confirm(kek);
    this.#inPlace.add(kek.id);
  }

  async #verify(kek: Kek): Promise<void> {
    const canary = canaryOf(await this.#read(kek), kek.id);
    if (canary === undefined) throw this.#unverified(kek.id, 'it is not there');
    if (!(await canaryOpens(canary, kek, this.#options.keks))) throw this.#changed(kek.id);
    this.#confirm(kek);
  }

  /** Throws for a Secret, or an entry of this KEK's, that is not the operator's. */
  async #read({ id }: Kek): Promise<Secret | undefined> {
    const { client, namespace } = this.#options;
    const secret = await getSecret(client, namespace, canarySecretName);
    if (!secret) return undefined;
    if (secret.type !== secretType) {
      throw this.#unverified(id, `the Secret is not the operator's, for its type is not ${secretType}. Rename it`);
    }
    this.#named = Object.keys(secret.data ?? {});
    const canary = canaryOf(secret, id);
    if (canary !== undefined && !isCanary(canary, id)) {
      throw this.#unverified(id, `its entry ${id} is not a canary. Restore the Secret from a backup`);
    }
    return secret;
  }

  async #plant(kek: Kek, secret: Secret | undefined): Promise<void> {
    const { client, namespace, keys } = this.#options;
    const foreign = this.#named.find((name) => secret && !isCanary(canaryOf(secret, name)!, name));
    if (foreign !== undefined) {
      throw this.#unverified(kek.id, `the Secret has an entry ${foreign} that is not a canary. Remove it`);
    }
    if (!this.#proved.has(kek.id) && keys.list().some(({ status }) => status?.kekID === kek.id)) {
      const what = `it is not there, although LtiKeys say that private keys are sealed under ${kek.id}, and this key has opened none of them. Restore the Secret from a backup, put the former key back, or give a new key a name of its own`;
      throw this.#unverified(kek.id, what);
    }
    const data = { ...secret?.data, [kek.id]: Buffer.from(await makeCanary(kek)).toString('base64') };
    if (secret) {
      await client.replace<Secret>(secrets, { ...secret, data });
    } else {
      const metadata = { name: canarySecretName, namespace };
      await client.create<Secret>(secrets, { apiVersion: 'v1', kind: 'Secret', metadata, type: secretType, data });
    }
    this.#named = Object.keys(data);
  }

  #unverified(id: string, what: string): KekError {
    const message = `Key-encryption key ${id} cannot be checked against its canary in Secret ${this.#options.namespace}/${canarySecretName}: ${what}. The operator checks again every few seconds.`;
    return new KekError('KEKUnverified', message);
  }

  #changed(id: string): KekError {
    const message = `Key-encryption key ${id} is not the one that was first used under this name: its canary in Secret ${this.#options.namespace}/${canarySecretName} does not open. Put the former key back and give the new one a name of its own.`;
    return new KekError('KEKChanged', message);
  }
}

function canaryOf(secret: Secret | undefined, id: string): string | undefined {
  const data = secret?.data ?? {};
  return Object.hasOwn(data, id) ? Buffer.from(data[id]!, 'base64').toString() : undefined;
}

/** Why a request failed, and what to do. Of an error that is neither of these nothing is quoted. */
function refusalOf(error: unknown): string {
  if (error instanceof TransportError) return `the API server gives no usable answer (${error.failure})`;
  if (!(error instanceof ApiError)) return 'an unexpected error';
  const answer = `the API server answers ${error.status} ${error.reason}`;
  if (error.status === 403) {
    return `${answer}. Let the operator's ServiceAccount get, create and update that Secret; a quota or an admission policy may stand in the way, too`;
  }
  return error.status === 422 ? `${answer}. See to admission policies and whether the Secret is immutable` : answer;
}
