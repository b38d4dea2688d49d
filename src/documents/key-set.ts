import type { KeyState } from '../domain/key-state.ts';
import type { PublicJwk } from '../domain/public-jwk.ts';

/** What the documents need to know of one key: its place, its state and its public half. */
export interface PublishedKey {
  readonly namespace: string;
  readonly registration: string;
  readonly revision: number;
  readonly state: KeyState;
  readonly publicJWK: PublicJwk;
  /** RFC 3339; set once the key is Revoked. */
  readonly revokedAt?: string;
  /** Its key ID is not its thumbprint: anybody could choose the same. */
  readonly foreignKeyID?: boolean;
  /** RFC 3339; decides which of two keys with one foreign key ID was first. */
  readonly createdAt?: string;
}

/**
 * One file of the publish directory: a JWK Set (RFC 7517 §5) and, for a day after a revocation, the time until which
 * caches should hold it only briefly. `keys: []` means known but empty: it is answered 404, never with an empty set,
 * because php-jwt (Moodle) refuses the whole set then.
 */
export interface DocumentFile {
  readonly keys: readonly PublicJwk[];
  /** RFC 3339. */
  readonly revokedUntil?: string;
}

/** A key that was left out of one document because another one there has its key ID. */
export interface Collision {
  readonly file: string;
  readonly keyID: string;
  readonly listed: PublishedKey;
  readonly omitted: PublishedKey;
  /** The two are one key: nobody loses a signature. With different material, the omitted key cannot be verified here. */
  readonly sameKey: boolean;
}

/** The document of the whole trust domain. */
export const allFile = 'all.json';

/** Kubernetes names cannot contain `_`, so these never meet. */
export function namespaceFile(namespace: string): string {
  return `namespace_${namespace}.json`;
}

export function registrationFile(namespace: string, registration: string): string {
  return `registration_${namespace}_${registration}.json`;
}

const documentFile = /^(?:namespace_([a-z0-9.-]+)|registration_([a-z0-9.-]+)_([a-z0-9.-]+))\.json$/;
/** Of every file system that a publish directory may be on. */
const longestFileName = 255;

export interface DocumentPlace {
  /** Absent in the place of the document of all namespaces. */
  readonly namespace?: string;
  /** Absent in that of a namespace, too. */
  readonly registration?: string;
}

/** Whose document the file is; `undefined` for a file that is none. A document's name has no way to lead to another directory. */
export function documentPlace(file: string): DocumentPlace | undefined {
  if (file === allFile) return {};
  const [, whole, namespace, registration] = documentFile.exec(file) ?? [];
  if (file.length > longestFileName) return undefined;
  if (whole !== undefined) return { namespace: whole };
  return namespace === undefined || registration === undefined ? undefined : { namespace, registration };
}

/** Whether a file holds the keys of more than one registration. */
export function isAggregate(file: string): boolean {
  return !file.startsWith('registration_');
}

/** The document of one registration, of one namespace, or of all namespaces. */
export type DocumentScope = 'registration' | 'namespace' | 'all';

/**
 * The documents that a published key belongs in. Registrations of one namespace trust each other, and a tool that had one
 * key for all its platforms gave them one URL, so a foreign key ID is in the document of the namespace. Between namespaces
 * nobody may take the key ID of another.
 */
export function documentsListing({
  foreignKeyID = false,
}: Pick<PublishedKey, 'foreignKeyID'>): readonly DocumentScope[] {
  return foreignKeyID ? ['registration', 'namespace'] : ['registration', 'namespace', 'all'];
}

export function isSameKey(one: Pick<PublicJwk, 'n' | 'e'>, other: Pick<PublicJwk, 'n' | 'e'>): boolean {
  return one.n === other.n && one.e === other.e;
}

/** The six members, in the order they are served; nothing else of `jwk` passes. */
export function publicMembers({ kty, use, alg, kid, n, e }: PublicJwk): PublicJwk {
  return { kty, use, alg, kid, n, e };
}

/** The body of a JWKS response. */
export function serializeKeySet(document: DocumentFile): string {
  return JSON.stringify({ keys: document.keys.map(publicMembers) });
}
