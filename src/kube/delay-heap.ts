import type { ObjectKey } from './objects.ts';
import type { Priority } from './workqueue.ts';

interface Delayed {
  readonly key: ObjectKey;
  /** When it is due, in milliseconds of the caller's monotonic clock. */
  at: number;
  priority: Priority;
  /** Its place in the heap. */
  index: number;
}

/**
 * Keys that are due later, the earliest on top: a binary heap that knows the place of each key, so that a key is in it
 * once. It costs a small record for each key instead of a timer.
 */
export class DelayHeap {
  readonly #heap: Delayed[] = [];
  readonly #byKey = new Map<ObjectKey, Delayed>();

  get size(): number {
    return this.#heap.length;
  }

  /** When the earliest key is due. */
  get nextAt(): number | undefined {
    return this.#heap[0]?.at;
  }

  /** Adds `key`; of several times for one key the earliest counts, and of several priorities the highest. */
  put(key: ObjectKey, at: number, priority: Priority): void {
    const known = this.#byKey.get(key);
    if (known === undefined) {
      const delayed: Delayed = { key, at, priority, index: this.#heap.length };
      this.#byKey.set(key, delayed);
      this.#heap.push(delayed);
      this.#rise(delayed);
      return;
    }
    if (priority < known.priority) known.priority = priority;
    if (at >= known.at) return;
    known.at = at;
    this.#rise(known);
  }

  /** Removes the earliest key if it is due. */
  takeDue(now: number): { readonly key: ObjectKey; readonly priority: Priority } | undefined {
    const top = this.#heap[0];
    if (top === undefined || top.at > now) return undefined;
    this.#byKey.delete(top.key);
    const last = this.#heap.pop();
    if (last !== undefined && last !== top) {
      this.#place(last, 0);
      this.#sink(last);
    }
    return top;
  }

  clear(): void {
    this.#heap.length = 0;
    this.#byKey.clear();
  }

  #rise(delayed: Delayed): void {
    while (delayed.index > 0) {
      const { index } = delayed;
      const parent = this.#heap[(index - 1) >> 1];
      if (parent === undefined || parent.at <= delayed.at) return;
      this.#place(delayed, parent.index);
      this.#place(parent, index);
    }
  }

  #sink(delayed: Delayed): void {
    for (;;) {
      const { index } = delayed;
      const [left, right] = [this.#heap[2 * index + 1], this.#heap[2 * index + 2]];
      const child = left !== undefined && right !== undefined && right.at < left.at ? right : left;
      if (child === undefined || delayed.at <= child.at) return;
      this.#place(delayed, child.index);
      this.#place(child, index);
    }
  }

  #place(delayed: Delayed, index: number): void {
    this.#heap[index] = delayed;
    delayed.index = index;
  }
}
