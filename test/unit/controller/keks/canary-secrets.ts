import { ApiError, TransportError } from '../../../../src/kube/errors.ts';
import type { KubeClient } from '../../../../src/kube/client.ts';
import type { KubeObject, ResourceType, Secret } from '../../../../src/kube/objects.ts';

type Verb = 'get' | 'create' | 'replace';

export function refusal(status: number, reason: string): ApiError {
  return new ApiError(`secrets: ${status} ${reason}`, { status, reason, ...(status === 404 && { missing: 'object' }) });
}

export const noAnswer = (): TransportError => new TransportError('Timeout', 'secrets: no answer within 10 s');

/** The one Secret of the canaries, as an API server keeps it: every write is a compare-and-set. */
export class CanarySecrets implements Pick<KubeClient, Verb> {
  stored: Secret | undefined;
  readonly calls: Verb[] = [];
  /** Throwing stands for the API server's refusal. */
  before: (verb: Verb) => void = () => undefined;
  #version = 0;

  async get<T extends KubeObject>(): Promise<T> {
    this.#called('get');
    if (!this.stored) throw refusal(404, 'NotFound');
    return this.stored as KubeObject as T;
  }

  async create<T extends KubeObject>(_: ResourceType, object: T): Promise<T> {
    this.#called('create');
    if (this.stored) throw refusal(409, 'AlreadyExists');
    return this.#store(object);
  }

  async replace<T extends KubeObject>(_: ResourceType, object: T): Promise<T> {
    this.#called('replace');
    if (object.metadata.resourceVersion !== this.stored?.metadata.resourceVersion) throw refusal(409, 'Conflict');
    return this.#store(object);
  }

  /** What another client writes. */
  put(secret: Secret): void {
    this.#store(secret);
  }

  entries(): readonly string[] {
    return Object.keys(this.stored?.data ?? {});
  }

  #called(verb: Verb): void {
    this.calls.push(verb);
    this.before(verb);
  }

  #store<T extends KubeObject>(object: T): T {
    const metadata = { ...object.metadata, resourceVersion: String((this.#version += 1)) };
    const stored = { ...object, metadata };
    this.stored = stored;
    return stored;
  }
}
