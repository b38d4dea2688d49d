import { objectKey, type KubeObject, type ObjectKey } from '../kube/objects.ts';

/**
 * What this process writes and its caches do not show yet. It spares a read after every write and tells the echo of an own write
 * from a change by somebody else. Nothing rests on it: every write carries a resourceVersion.
 *
 *     write() ──► under way ──answer──► written ──its echo arrives──► forgotten
 *                    │ events meanwhile
 *                    └──► judged when the answer is there
 */
export class OwnWrites<T extends KubeObject> {
  readonly #written = new Map<ObjectKey, T>();
  /** By the object that is being written: what is to be done once it is known whose the events meanwhile are. */
  readonly #underWay = new Map<ObjectKey, (() => void)[]>();

  /** Writes an object that nobody else in this process writes at the same time. Rejects as `request` does. */
  async write(key: ObjectKey, request: () => Promise<T>): Promise<T> {
    const events: (() => void)[] = [];
    this.#underWay.set(key, events);
    try {
      const object = await request();
      this.remember(object);
      return object;
    } finally {
      this.#underWay.delete(key);
      for (const judge of events) judge();
    }
  }

  remember(object: T): void {
    this.#written.set(objectKey(object), object);
  }

  /** The newer one of the cached object and the one last written. */
  newest(key: ObjectKey, cached: T | undefined): T | undefined {
    const written = this.#written.get(key);
    if (!written) return cached;
    if (!cached || (isSame(cached, written) && version(cached) < version(written))) return written;
    this.#written.delete(key);
    return cached;
  }

  /** Calls `changed` if somebody else wrote `object`, as it arrived: at once, or when a write under way is answered. */
  unlessOwn(object: T, changed: () => void): void {
    const judge = (): void => {
      if (!this.#isOwn(object)) changed();
    };
    const events = this.#underWay.get(objectKey(object));
    if (events) events.push(judge);
    else judge();
  }

  forget(key: ObjectKey): void {
    this.#written.delete(key);
  }

  /** Whether this process wrote `object` as it is here, or a later version of it. */
  #isOwn(object: T): boolean {
    const key = objectKey(object);
    const written = this.#written.get(key);
    if (!written || !isSame(object, written) || version(object) > version(written)) return false;
    if (version(object) === version(written)) this.#written.delete(key);
    return true;
  }
}

function isSame(one: KubeObject, other: KubeObject): boolean {
  return one.metadata.uid === other.metadata.uid;
}

/** Whether the API server went back to an earlier version of the object, after a restore: what was written since is gone. */
export function wentBack(object: KubeObject, previous: KubeObject | undefined): boolean {
  return previous !== undefined && isSame(previous, object) && version(object) < version(previous);
}

/** Comparable within one resource since Kubernetes 1.35 (KEP-5504). */
function version(object: KubeObject): bigint {
  return BigInt(object.metadata.resourceVersion ?? '0');
}
