import { objectKey, type KubeObject, type ObjectKey } from '../kube/objects.ts';

/**
 * Objects that this process wrote and its caches may not show yet. They save a read after each write, and tell the echo of
 * this process's own write from a change by another client. Correctness does not depend on them: every write carries a resourceVersion.
 *
 *     write() ──► in flight ──response──► written ──its event arrives──► forgotten
 *                    │ events meanwhile
 *                    └──► checked once the response is there
 */
export class OwnWrites<T extends KubeObject> {
  readonly #written = new Map<ObjectKey, T>();
  /** The `uid` of objects that the API server no longer has, although a cache may still show them. */
  readonly #gone = new Map<ObjectKey, string>();
  /** The events of each object that is being written; the response shows which of them are this process's own. */
  readonly #inFlight = new Map<ObjectKey, (() => void)[]>();

  /** Writes an object. Nothing else in this process may write it at the same time. Rejects as `request` does. */
  async write(key: ObjectKey, request: () => Promise<T>): Promise<T> {
    const events: (() => void)[] = [];
    this.#inFlight.set(key, events);
    try {
      const object = await request();
      this.add(object);
      return object;
    } finally {
      this.#inFlight.delete(key);
      for (const check of events) check();
    }
  }

  add(object: T): void {
    this.#written.set(objectKey(object), object);
  }

  /** Records what the API server has, after it refused a write because `known` is out of date: its watch may have failed. */
  correct(known: T, found: T | undefined): void {
    const key = objectKey(known);
    const { uid } = known.metadata;
    if (uid !== undefined && found?.metadata.uid !== uid) this.#gone.set(key, uid);
    if (found) this.add(found);
    else this.#written.delete(key);
  }

  /** Returns the newer of the cached object and the one last written or read. */
  newest(key: ObjectKey, inCache: T | undefined): T | undefined {
    const gone = this.#gone.get(key);
    const cached = gone !== undefined && gone === inCache?.metadata.uid ? undefined : inCache;
    const written = this.#written.get(key);
    if (cached) this.#gone.delete(key);
    if (!written) return cached;
    if (!cached || (isSame(cached, written) && version(cached) < version(written))) return written;
    this.#written.delete(key);
    return cached;
  }

  /** Calls `changed` if another client wrote `object`: at once, or after the response to a write in flight. */
  unlessOwn(object: T, changed: () => void): void {
    const check = (): void => {
      if (!this.#isOwn(object)) changed();
    };
    const events = this.#inFlight.get(objectKey(object));
    if (events) events.push(check);
    else check();
  }

  forget(key: ObjectKey): void {
    this.#written.delete(key);
    this.#gone.delete(key);
  }

  /** Whether this process wrote this version of `object`, or a later one. */
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

/** Whether the API server returned to an earlier version of the object, as after a restore of etcd. */
export function wentBack(object: KubeObject, previous: KubeObject | undefined): boolean {
  return previous !== undefined && isSame(previous, object) && version(object) < version(previous);
}

/** Comparable within one resource since Kubernetes 1.35 (KEP-5504). */
function version(object: KubeObject): bigint {
  return BigInt(object.metadata.resourceVersion ?? '0');
}
