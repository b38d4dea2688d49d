import { objectKey, type KubeObject, type ObjectKey } from '../kube/objects.ts';

interface Entry<T> {
  readonly uid: string | undefined;
  readonly version: bigint;
  /** Until the cache has caught up. */
  object?: T;
}

/**
 * The newest version of each object that this process wrote. It spares a read after every write and tells the echo of an
 * own write from a change by somebody else. Nothing rests on it: every write carries a resourceVersion.
 */
export class Written<T extends KubeObject> {
  readonly #entries = new Map<ObjectKey, Entry<T>>();

  remember(object: T): void {
    this.#entries.set(objectKey(object), { uid: object.metadata.uid, version: version(object), object });
  }

  /** The newer one of the cached object and the one last written. */
  newest(key: ObjectKey, cached: T | undefined): T | undefined {
    const entry = this.#entries.get(key);
    if (!entry?.object) return cached;
    if (!cached || (cached.metadata.uid === entry.uid && version(cached) < entry.version)) return entry.object;
    delete entry.object;
    return cached;
  }

  /** Whether this process wrote `object` as it is here, or a later version of it. */
  isOwn(object: T): boolean {
    const entry = this.#entries.get(objectKey(object));
    return entry !== undefined && entry.uid === object.metadata.uid && version(object) <= entry.version;
  }

  forget(key: ObjectKey): void {
    this.#entries.delete(key);
  }
}

/** Whether the API server went back to an earlier version of the object, after a restore: what was written since is gone. */
export function wentBack(object: KubeObject, previous: KubeObject | undefined): boolean {
  return previous !== undefined && previous.metadata.uid === object.metadata.uid && version(object) < version(previous);
}

/** Comparable within one resource since Kubernetes 1.35 (KEP-5504). */
function version(object: KubeObject): bigint {
  return BigInt(object.metadata.resourceVersion ?? '0');
}
