import { publishedStates } from './jwk.ts';
import type { KeyState, PublicJwk } from './jwk.ts';

/** What the documents need to know of one key: its place, its state and its public half. */
export interface PublishedKey {
  readonly namespace: string;
  readonly registration: string;
  readonly revision: number;
  readonly state: KeyState;
  readonly publicJWK: PublicJwk;
  /** RFC 3339; set once the key is Revoked. */
  readonly revokedAt?: string;
}

/**
 * One file of the publish directory: a JWK Set (RFC 7517 §5) and, for a day after a revocation, the time until which
 * caches should hold it only briefly. `keys: []` means known but empty: it is served as 503, never as an empty set,
 * because php-jwt (Moodle) refuses the whole set then.
 */
export interface DocumentFile {
  readonly keys: readonly PublicJwk[];
  /** RFC 3339. */
  readonly revokedUntil?: string;
}

/** File name → document. */
export type Documents = ReadonlyMap<string, DocumentFile>;

/** A key that was left out of one document because an earlier one there has its key ID. */
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

/** How long after a revocation a document asks caches for short lives. */
export const revocationCachingMs = 24 * 3600 * 1000;

/** namespace, registration, revision: an order that no clock, insertion or locale has a part in. */
function inDocumentOrder(a: PublishedKey, b: PublishedKey): number {
  if (a.namespace !== b.namespace) return a.namespace < b.namespace ? -1 : 1;
  if (a.registration !== b.registration) return a.registration < b.registration ? -1 : 1;
  return a.revision - b.revision;
}

/**
 * The documents of `keys`: one per registration and namespace that has a key in any state, and with `all` the one of the
 * trust domain, even if there is no key. `only` limits the work to the files it accepts.
 */
export function buildDocuments(
  keys: Iterable<PublishedKey>,
  { all, only = () => true }: { all: boolean; only?: (file: string) => boolean },
): { documents: Documents; collisions: readonly Collision[] } {
  const members = new Map<string, PublishedKey[]>();
  if (all && only(allFile)) members.set(allFile, []);
  for (const key of [...keys].toSorted(inDocumentOrder)) {
    const files = [registrationFile(key.namespace, key.registration), namespaceFile(key.namespace)];
    if (all) files.push(allFile);
    for (const file of files.filter(only)) {
      const list = members.get(file);
      if (list === undefined) members.set(file, [key]);
      else list.push(key);
    }
  }
  const collisions: Collision[] = [];
  const documents = new Map<string, DocumentFile>();
  for (const [file, list] of members) documents.set(file, buildDocument(file, list, collisions));
  return { documents, collisions };
}

function buildDocument(file: string, ordered: readonly PublishedKey[], collisions: Collision[]): DocumentFile {
  const listed = new Map<string, PublishedKey>();
  let revoked = Number.NEGATIVE_INFINITY;
  for (const key of ordered) {
    if (key.revokedAt !== undefined) revoked = Math.max(revoked, Date.parse(key.revokedAt) || revoked);
    if (!publishedStates.has(key.state)) continue;
    const keyID = key.publicJWK.kid;
    const first = listed.get(keyID);
    if (first === undefined) listed.set(keyID, key);
    else {
      const sameKey = first.publicJWK.n === key.publicJWK.n && first.publicJWK.e === key.publicJWK.e;
      collisions.push({ file, keyID, listed: first, omitted: key, sameKey });
    }
  }
  return {
    keys: [...listed.values()].map(({ publicJWK }) => publicMembers(publicJWK)),
    ...(Number.isFinite(revoked) && { revokedUntil: new Date(revoked + revocationCachingMs).toISOString() }),
  };
}

/** The six members, in the order they are served; nothing else of `jwk` passes. */
export function publicMembers({ kty, use, alg, kid, n, e }: PublicJwk): PublicJwk {
  return { kty, use, alg, kid, n, e };
}

/** The body of a JWKS response. */
export function serializeKeySet(document: DocumentFile): string {
  return JSON.stringify({ keys: document.keys.map(publicMembers) });
}
