import { type KubeObject, type ObjectKey, objectKey } from './objects.ts';

/** Computes the value that an object is found by. It begins with the object's namespace: `namespace/…`. */
export type Indexer<T> = (object: T) => string;
export type Indexers<T> = Readonly<Record<string, Indexer<T>>>;

export interface Change<T extends KubeObject> {
  readonly type: 'added' | 'modified' | 'deleted';
  /** The object after the change; for a deletion, its last known state. */
  readonly object: T;
  readonly previous?: T;
}

export type ChangeHandler<T extends KubeObject> = (change: Change<T>) => void;

/** The cached objects, by key and by index. Only the reflector writes; handlers receive each difference. */
export class Store<T extends KubeObject> {
  readonly #objects = new Map<ObjectKey, T>();
  readonly #indexes: ReadonlyMap<string, { indexer: Indexer<T>; values: Map<string, Map<ObjectKey, T>> }>;
  readonly #onHandlerError: (error: unknown) => void;
  #handlers: ChangeHandler<T>[] = [];

  constructor(
    indexers: Indexers<T> = {},
    onHandlerError = (error: unknown): void => {
      throw error;
    },
  ) {
    this.#indexes = new Map(Object.entries(indexers).map(([name, indexer]) => [name, { indexer, values: new Map() }]));
    this.#onHandlerError = onHandlerError;
  }

  get(key: ObjectKey): T | undefined {
    return this.#objects.get(key);
  }

  get size(): number {
    return this.#objects.size;
  }

  list(): readonly T[] {
    return [...this.#objects.values()];
  }

  byIndex(index: string, value: string): readonly T[] {
    const found = this.#indexes.get(index);
    if (found === undefined) throw new TypeError(`The store has no index "${index}"`);
    return [...(found.values.get(value)?.values() ?? [])];
  }

  onChange(handler: ChangeHandler<T>): void {
    this.#handlers.push(handler);
  }

  /** No handler is called from now on. */
  close(): void {
    this.#handlers = [];
  }

  /** Makes `objects` the whole content: stored objects that are not among them count as deleted. */
  replaceAll(objects: readonly T[]): void {
    const present = new Set(objects.map(objectKey));
    for (const known of this.list()) if (!present.has(objectKey(known))) this.delete(known);
    for (const object of objects) this.put(object);
  }

  /** Stores a new version. If the stored object of this name has another uid, handlers receive its deletion first. */
  put(object: T): void {
    const key = objectKey(object);
    const stored = this.#objects.get(key);
    if (stored !== undefined && stored.metadata.uid !== object.metadata.uid) this.delete(stored);
    const previous = this.#objects.get(key);
    if (previous !== undefined) {
      if (previous.metadata.resourceVersion === object.metadata.resourceVersion) return;
      this.#remove(key, previous);
    }
    this.#objects.set(key, object);
    for (const { indexer, values } of this.#indexes.values()) {
      const value = indexer(object);
      values.set(value, (values.get(value) ?? new Map<ObjectKey, T>()).set(key, object));
    }
    this.#notify(previous === undefined ? { type: 'added', object } : { type: 'modified', object, previous });
  }

  /** Does nothing if the stored object of this name has another uid. */
  delete(object: T): void {
    const key = objectKey(object);
    const previous = this.#objects.get(key);
    if (previous === undefined || previous.metadata.uid !== object.metadata.uid) return;
    this.#remove(key, previous);
    this.#notify({ type: 'deleted', object, previous });
  }

  #remove(key: ObjectKey, object: T): void {
    this.#objects.delete(key);
    for (const { indexer, values } of this.#indexes.values()) {
      const value = indexer(object);
      const bucket = values.get(value);
      bucket?.delete(key);
      if (bucket?.size === 0) values.delete(value);
    }
  }

  #notify(change: Change<T>): void {
    for (const handler of this.#handlers) {
      try {
        handler(change);
      } catch (error) {
        this.#onHandlerError(error);
      }
    }
  }
}
