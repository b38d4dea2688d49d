/** The Kubernetes API objects that the operator reads and writes; readonly, because they may come from a cache. */

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

export interface KubeList<T extends KubeObject> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string | undefined };
  readonly items: readonly T[];
}

/** An event of a watch. `ERROR` events are thrown instead. */
export type WatchEvent<T extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly object: { readonly metadata: { readonly resourceVersion: string } } };

/** A kind's place in the API: `/api/v1/…` for the core group (`group: ''`), `/apis/<group>/<version>/…` otherwise. */
export interface ResourceType {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
}

/** `namespace/name` */
export type ObjectKey = string;

export function objectKey(object: KubeObject): ObjectKey {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}

export function splitKey(key: ObjectKey): { namespace: string; name: string } {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

export interface Secret extends KubeObject {
  readonly type?: string;
  readonly immutable?: boolean;
  /** Base64, as the API carries it. */
  readonly data?: Readonly<Record<string, string>>;
}

/** Formats a `MicroTime`, as `2026-01-01T00:00:00.123000Z`: the API server refuses another number of digits with 400. */
export function microTime(time: Date): string {
  return time.toISOString().replace('Z', '000Z');
}
