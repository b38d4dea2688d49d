import { splitKey, type ObjectKey } from './objects.ts';

/**
 * Keys in a fair order: namespaces take turns, and within a namespace who came first goes first. A namespace with 10,000
 * keys delays the key of another namespace by one turn.
 *
 *     turns:  bank ─► college ─► school ─► (bank …)
 *              │         │          │
 *             b1,b2     c1       s1,s2,s3          take(): b1, c1, s1, b2, s2, s3
 */
export class FairQueue {
  readonly #lines = new Map<string, Line>();
  /** The namespaces that have keys, the one whose turn is next first. */
  readonly #turns = new Line();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Puts `key` last in its namespace; the caller adds no key twice. */
  add(key: ObjectKey): void {
    const { namespace } = splitKey(key);
    let line = this.#lines.get(namespace);
    if (line === undefined) {
      line = new Line();
      this.#lines.set(namespace, line);
      this.#turns.add(namespace);
    }
    line.add(key);
    this.#size += 1;
  }

  /** Removes the next key of the next namespace that `mayGo`. */
  take(mayGo: (namespace: string) => boolean = () => true): ObjectKey | undefined {
    for (let asked = this.#turns.size; asked > 0; asked--) {
      const namespace = this.#turns.take();
      if (namespace === undefined) return undefined;
      if (!mayGo(namespace)) {
        this.#turns.add(namespace);
        continue;
      }
      const line = this.#lines.get(namespace);
      const key = line?.take();
      this.#size -= 1;
      if (line?.size === 0) this.#lines.delete(namespace);
      else this.#turns.add(namespace);
      return key;
    }
    return undefined;
  }

  /** Removes `key`; says whether it was there. */
  delete(key: ObjectKey): boolean {
    const { namespace } = splitKey(key);
    const line = this.#lines.get(namespace);
    if (line?.delete(key) !== true) return false;
    this.#size -= 1;
    if (line.size === 0) {
      this.#lines.delete(namespace);
      this.#turns.delete(namespace);
    }
    return true;
  }
}

/** First in, first out, with removal from the middle, each in constant time. */
class Line {
  readonly #members = new Set<string>();
  // One iterator for good: a new one for each take would step over the places of all that were removed since the set
  // last shrank. It never ends, because every member left is one that it has not passed yet.
  readonly #next = this.#members.values();

  get size(): number {
    return this.#members.size;
  }

  add(member: string): void {
    this.#members.add(member);
  }

  take(): string | undefined {
    if (this.#members.size === 0) return undefined;
    const { value } = this.#next.next();
    if (value !== undefined) this.#members.delete(value);
    return value;
  }

  delete(member: string): boolean {
    return this.#members.delete(member);
  }
}
