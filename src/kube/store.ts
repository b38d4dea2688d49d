import { type KubeObject, type ObjectKey, objectKey } from './objects.ts';

/** The value an object is found by, or undefined to leave it out of the index. */
export type Indexer<T> = (object: T) => string | undefined;

/** The objects a reflector has seen, by key and by whatever else they are looked up by. Only the reflector writes. */
export class Store<T extends KubeObject> {
  readonly #objects = new Map<ObjectKey, T>();
  readonly #indexes = new Map<string, { indexer: Indexer<T>; values: Map<string, Map<ObjectKey, T>> }>();

  constructor(indexers: Readonly<Record<string, Indexer<T>>> = {}) {
    for (const [name, indexer] of Object.entries(indexers)) {
      this.#indexes.set(name, { indexer, values: new Map() });
    }
  }

  get(key: ObjectKey): T | undefined {
    return this.#objects.get(key);
  }

  list(): readonly T[] {
    return [...this.#objects.values()];
  }

  byIndex(index: string, value: string): readonly T[] {
    const found = this.#indexes.get(index);
    if (found === undefined) throw new TypeError(`The store has no index "${index}"`);
    return [...(found.values.get(value)?.values() ?? [])];
  }

  get size(): number {
    return this.#objects.size;
  }

  set(object: T): void {
    const key = objectKey(object);
    this.delete(key);
    this.#objects.set(key, object);
    for (const { indexer, values } of this.#indexes.values()) {
      const value = indexer(object);
      if (value === undefined) continue;
      const bucket = values.get(value) ?? new Map<ObjectKey, T>();
      values.set(value, bucket.set(key, object));
    }
  }

  delete(key: ObjectKey): void {
    const object = this.#objects.get(key);
    if (object === undefined) return;
    this.#objects.delete(key);
    for (const { indexer, values } of this.#indexes.values()) {
      const value = indexer(object);
      if (value === undefined) continue;
      const bucket = values.get(value);
      bucket?.delete(key);
      if (bucket?.size === 0) values.delete(value);
    }
  }
}
