import { type KubeObject, objectKey } from './objects.ts';
import type { Store } from './store.ts';

export interface Change<T extends KubeObject> {
  readonly type: 'added' | 'modified' | 'deleted';
  /** As it is now; of a deleted object, as it last was. */
  readonly object: T;
  readonly previous?: T;
}

export type ChangeHandler<T extends KubeObject> = (change: Change<T>) => void;

/** Writes what was read into the store and tells handlers how that differs from what was there. */
export class ChangeFeed<T extends KubeObject> {
  readonly #store: Store<T>;
  readonly #onError: (error: unknown) => void;
  readonly #handlers: ChangeHandler<T>[] = [];
  #closed = false;

  constructor(store: Store<T>, onError: (error: unknown) => void) {
    this.#store = store;
    this.#onError = onError;
  }

  subscribe(handler: ChangeHandler<T>): void {
    this.#handlers.push(handler);
  }

  /** From now on nobody is told of anything. */
  close(): void {
    this.#closed = true;
  }

  /** The collection as it is: what is not in it has been deleted. */
  replaceAll(objects: readonly T[]): void {
    const present = new Set(objects.map(objectKey));
    for (const known of this.#store.list()) if (!present.has(objectKey(known))) this.delete(known);
    for (const object of objects) this.put(object);
  }

  /** One name with another uid is another object: the old one is told as deleted first. */
  put(object: T): void {
    const key = objectKey(object);
    const stored = this.#store.get(key);
    if (stored !== undefined && stored.metadata.uid !== object.metadata.uid) this.delete(stored);
    const previous = this.#store.get(key);
    if (previous !== undefined && previous.metadata.resourceVersion === object.metadata.resourceVersion) return;
    this.#store.set(object);
    this.#tell(previous === undefined ? { type: 'added', object } : { type: 'modified', object, previous });
  }

  /** Not told if the object, by uid, is not there. */
  delete(object: T): void {
    const previous = this.#store.get(objectKey(object));
    if (previous === undefined || previous.metadata.uid !== object.metadata.uid) return;
    this.#store.delete(objectKey(object));
    this.#tell({ type: 'deleted', object, previous });
  }

  #tell(change: Change<T>): void {
    if (this.#closed) return;
    for (const handler of this.#handlers) {
      try {
        handler(change);
      } catch (error) {
        this.#onError(error);
      }
    }
  }
}
