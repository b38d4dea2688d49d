import { ApiError } from '../../src/kube/errors.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import type { KubeObject, ResourceType } from '../../src/kube/objects.ts';

type Verb = 'create' | 'replace' | 'replaceStatus' | 'delete';

/** Objects in memory, as an API server keeps them: every write is a compare-and-set of the resourceVersion. */
export class MemoryObjects {
  readonly #objects = new Map<string, KubeObject>();
  #version = 0;
  /** In order: `create secrets canvas-lti-keys`. */
  readonly writes: string[] = [];
  /** Throwing stands for the API server's refusal. */
  before: (write: string) => void = () => undefined;

  /** The part of the client that the operator writes and reads with. */
  get client(): KubeClient {
    return this as unknown as KubeClient;
  }

  async get<T extends KubeObject>(type: ResourceType, namespace: string, name: string): Promise<T> {
    const object = this.#objects.get(keyOf(type, namespace, name));
    if (!object) throw answer(404, 'NotFound', 'object');
    return object as T;
  }

  async create<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    this.#called('create', type, object);
    if (this.#objects.has(keyOf(type, object.metadata.namespace, object.metadata.name)))
      throw answer(409, 'AlreadyExists');
    return this.put(type, { ...object, metadata: { ...object.metadata, uid: `uid-${this.#version}` } });
  }

  async replace<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#replaced('replace', type, object);
  }

  async replaceStatus<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    return this.#replaced('replaceStatus', type, object);
  }

  async delete(type: ResourceType, object: KubeObject): Promise<void> {
    this.#called('delete', type, object);
    this.#current(type, object);
    this.#objects.delete(keyOf(type, object.metadata.namespace, object.metadata.name));
  }

  /** What somebody else writes. */
  put<T extends KubeObject>(type: ResourceType, object: T): T {
    const metadata = { ...object.metadata, resourceVersion: String((this.#version += 1)) };
    const stored = { ...object, metadata };
    this.#objects.set(keyOf(type, object.metadata.namespace, object.metadata.name), stored);
    return stored;
  }

  #replaced<T extends KubeObject>(verb: Verb, type: ResourceType, object: T): T {
    this.#called(verb, type, object);
    this.#current(type, object);
    return this.put(type, object);
  }

  #current(type: ResourceType, object: KubeObject): void {
    const stored = this.#objects.get(keyOf(type, object.metadata.namespace, object.metadata.name));
    if (!stored) throw answer(404, 'NotFound', 'object');
    if (stored.metadata.resourceVersion !== object.metadata.resourceVersion) throw answer(409, 'Conflict');
  }

  #called(verb: Verb, type: ResourceType, { metadata }: KubeObject): void {
    const write = `${verb} ${type.plural} ${metadata.name}`;
    this.writes.push(write);
    this.before(write);
  }
}

function keyOf(type: ResourceType, namespace: string | undefined, name: string): string {
  return `${type.plural}/${namespace ?? ''}/${name}`;
}

function answer(status: number, reason: string, missing?: 'object'): ApiError {
  return new ApiError(`${status} ${reason}`, { status, reason, missing });
}
