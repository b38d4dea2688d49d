/**
 * Keys of the form `namespace/name` in a fair order: namespaces take turns, and each namespace is first in, first out. A
 * namespace with 10,000 keys delays the key of another namespace by one turn. The cost of a call does not depend on the number of
 * queued keys.
 *
 *     turns:  bank ─► college ─► school ─► (bank …)
 *              │         │          │
 *             b1,b2     c1       s1,s2,s3          take(): b1, c1, s1, b2, s2, s3
 */
export class FairQueue {
  readonly #keys = new Map<string, Line<string>>();
  /** The namespaces that have keys. */
  readonly #turns = new Line<string>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds `key` as the last one of its namespace; does nothing if it is queued already. */
  add(key: string): void {
    const namespace = namespaceOf(key);
    const keys = this.#keys.get(namespace) ?? new Line<string>();
    if (!keys.add(key)) return;
    this.#size += 1;
    this.#keys.set(namespace, keys);
    this.#turns.add(namespace);
  }

  /** Removes the next key of the next namespace that `mayGo`. A namespace that may not go loses its turn and keeps its keys. */
  take(mayGo: (namespace: string) => boolean = () => true): string | undefined {
    for (let turns = this.#turns.size; turns > 0; turns -= 1) {
      const namespace = this.#turns.take()!;
      const keys = this.#keys.get(namespace)!;
      const key = mayGo(namespace) ? keys.take() : undefined;
      if (keys.size > 0) this.#turns.add(namespace);
      else this.#keys.delete(namespace);
      if (key === undefined) continue;
      this.#size -= 1;
      return key;
    }
    return undefined;
  }

  /** Removes `key`; returns whether it was queued. */
  delete(key: string): boolean {
    const namespace = namespaceOf(key);
    const keys = this.#keys.get(namespace);
    if (!keys?.delete(key)) return false;
    this.#size -= 1;
    if (keys.size === 0) {
      this.#keys.delete(namespace);
      this.#turns.delete(namespace);
    }
    return true;
  }
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf('/'));
}

/** Distinct items, first in, first out. */
class Line<Item> {
  readonly #items = new Set<Item>();
  /** Kept between calls: a new iterator would pass over every item that was taken before. */
  #rest = this.#items.values();

  get size(): number {
    return this.#items.size;
  }

  /** Returns whether `item` is new. */
  add(item: Item): boolean {
    if (this.#items.has(item)) return false;
    // An iterator that reached the end stays there.
    if (this.#items.size === 0) this.#rest = this.#items.values();
    this.#items.add(item);
    return true;
  }

  take(): Item | undefined {
    const { value } = this.#rest.next();
    if (value !== undefined) this.#items.delete(value);
    return value;
  }

  delete(item: Item): boolean {
    return this.#items.delete(item);
  }
}
