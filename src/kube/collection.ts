import type { ChangeHandler } from './change-feed.ts';
import type { KubeObject, ObjectKey } from './objects.ts';
import type { Reflector } from './reflector.ts';

/** One kind in all the namespaces that are watched: in each of them, or in all of them at once. */
export class Collection<T extends KubeObject> {
  readonly #reflectors: readonly Reflector<T>[];

  constructor(reflectors: readonly Reflector<T>[]) {
    this.#reflectors = reflectors;
  }

  get(key: ObjectKey): T | undefined {
    for (const { store } of this.#reflectors) {
      const object = store.get(key);
      if (object) return object;
    }
    return undefined;
  }

  list(): readonly T[] {
    return this.#reflectors.flatMap(({ store }) => store.list());
  }

  get size(): number {
    return this.#reflectors.reduce((sum, { store }) => sum + store.size, 0);
  }

  byIndex(index: string, value: string): readonly T[] {
    return this.#reflectors.flatMap(({ store }) => store.byIndex(index, value));
  }

  hasSynced(): boolean {
    return this.#reflectors.every((reflector) => reflector.hasSynced());
  }

  connected(): boolean {
    return this.#reflectors.every((reflector) => reflector.connected());
  }

  onChange(handler: ChangeHandler<T>): void {
    for (const reflector of this.#reflectors) reflector.onChange(handler);
  }

  /** Resolves when stopped. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.run(signal)));
  }
}
