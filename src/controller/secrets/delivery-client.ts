import { bundleAnnotation, registrationLabel, secrets } from '../../api/names.ts';
import type { KubeClient } from '../../kube/client.ts';
import { ApiError } from '../../kube/errors.ts';
import type { Secret } from '../../kube/objects.ts';
import { KeyedLock } from '../../lib/keyed-lock.ts';
import { hasMembers, isBundle, isOverfull, memberOf, withMember, withoutMember } from './bundle.ts';
import { getSecret } from './ledger-secret.ts';

type Client = Pick<KubeClient, 'get' | 'create' | 'replace' | 'delete'>;

/**
 * Writes delivery Secrets and members of bundles alike, each over the version that was read. A bundle is read again right before
 * it is written, so that registrations of one bundle, which this process writes one after another, are no conflict.
 */
export class DeliveryClient {
  readonly #client: Client;
  readonly #lock = new KeyedLock();

  constructor(client: Client) {
    this.#client = client;
  }

  create(secret: Secret): Promise<Secret> {
    return isMember(secret) ? this.#write(secret) : this.#client.create(secrets, secret);
  }

  replace(secret: Secret): Promise<Secret> {
    return isMember(secret) ? this.#write(secret) : this.#client.replace(secrets, secret);
  }

  /**
   * Deletes the Secret, or removes the member from the bundle. A bundle is only deleted with its last member, because the others
   * need it, even if it is immutable and the member stays.
   */
  async delete(secret: Secret): Promise<void> {
    if (!isMember(secret)) return this.#client.delete(secrets, secret);
    await this.#locked(secret, async (bundle, present) => {
      if (!bundle || !present) return;
      const rest = withoutMember(bundle, registrationNameOf(secret));
      if (hasMembers(rest)) await this.#client.replace(secrets, rest);
      else await this.#client.delete(secrets, bundle);
    });
  }

  #write(member: Secret): Promise<Secret> {
    return this.#locked(member, async (bundle, present) => {
      const changed = withMember(bundle, member);
      if (!present && isOverfull(changed)) throw overfull();
      const stored = await (bundle ? this.#client.replace(secrets, changed) : this.#client.create(secrets, changed));
      return memberOf(stored, registrationNameOf(member))!;
    });
  }

  #locked<T>(member: Secret, task: (bundle?: Secret, present?: Secret) => Promise<T>): Promise<T> {
    const { name, namespace = '', resourceVersion } = member.metadata;
    return this.#lock.run(`${namespace}/${name}`, async () => {
      const bundle = await getSecret(this.#client, namespace, name);
      const present = bundle && memberOf(bundle, registrationNameOf(member));
      if ((bundle && !isBundle(bundle)) || present?.metadata.resourceVersion !== resourceVersion) throw lostRace();
      return task(bundle, present);
    });
  }
}

function isMember({ metadata }: Secret): boolean {
  return metadata.annotations?.[bundleAnnotation] !== undefined;
}

function registrationNameOf({ metadata }: Secret): string {
  return metadata.annotations?.[registrationLabel] ?? '';
}

function lostRace(): ApiError {
  return new ApiError('the bundle has changed since it was read', { status: 409, reason: 'Conflict' });
}

function overfull(): ApiError {
  const serverMessage =
    'the bundle has no room for another registration: double spec.delivery.bundle.shards in all registrations of the bundle';
  return new ApiError(serverMessage, { status: 422, reason: 'BundleFull', serverMessage });
}
