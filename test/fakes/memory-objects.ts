import { ApiError } from '../../src/kube/errors.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import type { KubeObject, ResourceType } from '../../src/kube/objects.ts';

type Verb = 'create' | 'replace' | 'replaceStatus' | 'delete';

/* oxlint-disable no-unnecessary-type-parameters -- as in the client: the caller knows the kind of the object */

/** Objects in memory, as an API server keeps them: every replacement is a compare-and-set of the resourceVersion. */
export class MemoryObjects {
  readonly #objects = new Map<string, KubeObject>();
  #version = 0;
  /** In order: `create secrets canvas-lti-keys`. */
  readonly writes: string[] = [];
  /** In order: `get secrets canvas-lti-keys`, `list ltikeys`. */
  readonly reads: string[] = [];
  /** Called with each read and write. An error that it throws is the API server's answer. */
  before: (call: string) => void = () => undefined;
  /** Called with each write that was carried out. An error that it throws takes the place of the answer. */
  after: (write: string) => void = () => undefined;

  /** The part of the client that the operator writes and reads with. */
  get client(): KubeClient {
    return this as unknown as KubeClient;
  }

  async get<T extends KubeObject>(type: ResourceType, namespace: string | undefined, name: string): Promise<T> {
    this.#read(`get ${type.plural} ${name}`);
    const object = this.find<T>(type, namespace, name);
    if (!object) throw answer(404, 'NotFound', 'object');
    return object;
  }

  /** Ignores selectors: a test has one registration. */
  async list<T extends KubeObject>(type: ResourceType): Promise<{ readonly items: readonly T[] }> {
    this.#read(`list ${type.plural}`);
    return { items: this.all<T>(type) };
  }

  async create<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    this.#called('create', type, object);
    if (this.#objects.has(keyOf(type, object.metadata.namespace, object.metadata.name)))
      throw answer(409, 'AlreadyExists');
    const created = this.put(type, { ...object, metadata: { ...object.metadata, uid: `uid-${this.#version}` } });
    this.after(`create ${type.plural} ${object.metadata.name}`);
    return created;
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
    this.after(`delete ${type.plural} ${object.metadata.name}`);
  }

  /** As a cache without delay has them. */
  find<T extends KubeObject>(type: ResourceType, namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(keyOf(type, namespace, name)) as T | undefined;
  }

  all<T extends KubeObject>(type: ResourceType): readonly T[] {
    return [...this.#objects].flatMap(([key, object]) => (key.startsWith(`${type.plural}/`) ? [object as T] : []));
  }

  /** A deletion by another client. */
  remove(type: ResourceType, namespace: string | undefined, name: string): void {
    this.#objects.delete(keyOf(type, namespace, name));
  }

  /** A write by another client. */
  put<T extends KubeObject>(type: ResourceType, object: T): T {
    const metadata = { ...object.metadata, resourceVersion: String((this.#version += 1)) };
    const stored = { ...object, metadata };
    this.#objects.set(keyOf(type, object.metadata.namespace, object.metadata.name), stored);
    return stored;
  }

  #replaced<T extends KubeObject>(verb: Verb, type: ResourceType, object: T): T {
    this.#called(verb, type, object);
    this.#current(type, object);
    const replaced = this.put(type, object);
    this.after(`${verb} ${type.plural} ${object.metadata.name}`);
    return replaced;
  }

  #current(type: ResourceType, object: KubeObject): void {
    const stored = this.#objects.get(keyOf(type, object.metadata.namespace, object.metadata.name));
    if (!stored) throw answer(404, 'NotFound', 'object');
    if (stored.metadata.resourceVersion !== object.metadata.resourceVersion) throw answer(409, 'Conflict');
  }

  #read(read: string): void {
    this.reads.push(read);
    this.before(read);
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
