import { objectKey, type KubeObject, type ObjectKey } from '../kube/objects.ts';

/**
 * The newest version of each object that this process wrote, until the cache has caught up with it. It spares a read
 * after every write and tells the echo of an own write from a change by somebody else; nothing rests on it, for every
 * write carries a resourceVersion.
 */
export class Written<T extends KubeObject> {
  readonly #objects = new Map<ObjectKey, T>();

  remember(object: T): void {
    this.#objects.set(objectKey(object), object);
  }

  /** The newer one of the cached object and the one last written. */
  newest(key: ObjectKey, cached: T | undefined): T | undefined {
    const written = this.#objects.get(key);
    if (!written) return cached;
    if (cached && version(cached) < version(written) && cached.metadata.uid === written.metadata.uid) return written;
    return cached;
  }

  /** Whether `object`, as a watch delivers it, is what this process wrote or an earlier version of it. */
  isEcho(object: T): boolean {
    const written = this.#objects.get(objectKey(object));
    if (!written || written.metadata.uid !== object.metadata.uid) return false;
    if (version(object) >= version(written)) this.#objects.delete(objectKey(object));
    return version(object) <= version(written);
  }

  forget(key: ObjectKey): void {
    this.#objects.delete(key);
  }
}

/** Comparable within one resource since Kubernetes 1.35 (KEP-5504). */
function version(object: KubeObject): bigint {
  return BigInt(object.metadata.resourceVersion ?? '0');
}
