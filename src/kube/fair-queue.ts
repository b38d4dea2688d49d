import { type ObjectKey, splitKey } from './objects.ts';

/**
 * Keys in a fair order: namespaces take turns, and each namespace is first in, first out. A namespace with 10,000 keys
 * delays the key of another namespace by one turn.
 *
 *     turns:  bank ─► college ─► school ─► (bank …)
 *              │         │          │
 *             b1,b2     c1       s1,s2,s3          take(): b1, c1, s1, b2, s2, s3
 */
export class FairQueue {
  /** The keys of each namespace; the first namespace is the next one. */
  readonly #turns = new Map<string, Set<ObjectKey>>();

  get size(): number {
    return [...this.#turns.values()].reduce((sum, keys) => sum + keys.size, 0);
  }

  /** Adds `key` as the last one of its namespace; does nothing if it is queued already. */
  add(key: ObjectKey): void {
    const { namespace } = splitKey(key);
    this.#turns.set(namespace, (this.#turns.get(namespace) ?? new Set()).add(key));
  }

  /** Removes the next key of the next namespace that `mayGo`. */
  take(mayGo: (namespace: string) => boolean = () => true): ObjectKey | undefined {
    for (const [namespace, keys] of this.#turns) {
      if (!mayGo(namespace)) continue;
      const [key] = keys;
      keys.delete(key!);
      this.#turns.delete(namespace);
      if (keys.size > 0) this.#turns.set(namespace, keys);
      return key;
    }
    return undefined;
  }

  /** Removes `key`; returns whether it was queued. */
  delete(key: ObjectKey): boolean {
    const { namespace } = splitKey(key);
    const keys = this.#turns.get(namespace);
    const found = keys?.delete(key) ?? false;
    if (keys?.size === 0) this.#turns.delete(namespace);
    return found;
  }
}
