import { publishedStates } from './jwk.ts';
import { allFile, namespaceFile, publicMembers, registrationFile, revocationCachingMs } from './jwks-document.ts';
import type { Collision, PublishedKey } from './jwks-document.ts';

/** What the documents need to know of one registration. */
interface Entry {
  /** Those that aggregates list too, by revision. */
  readonly shared: readonly PublishedKey[];
  /** Their JSON, with commas between them. */
  readonly sharedText: string;
  /** The same for all that its own document lists. */
  readonly text: string;
  /** Milliseconds since the epoch of the newest revocation. */
  readonly revoked: number;
  readonly collisions: readonly Collision[];
}

/** The bytes of one file, in pieces, each short enough to be worked on at once. */
export interface DocumentText {
  readonly pieces: readonly string[];
  readonly collisions: readonly Collision[];
}

/** Characters of a piece, about. */
const pieceLength = 65_536;

/**
 * The documents: one per registration and namespace that has a key in any state, and with `all` the one of the trust
 * domain, even if there is no key. The text of each registration is kept, so a change of one costs its own document and,
 * for the aggregates it is in, a walk over ready-made texts.
 *
 * Keys are ordered by namespace, registration and revision: an order that no clock, insertion or locale has a part in.
 */
export class DocumentSet {
  readonly #all: boolean;
  /** Namespace → registration → entry. */
  readonly #namespaces = new Map<string, Map<string, Entry>>();
  /** File → the namespace, and for a registration's own document its name. */
  readonly #places = new Map<string, { readonly namespace: string; readonly registration?: string }>();

  constructor({ all }: { readonly all: boolean }) {
    this.#all = all;
  }

  /** Every document there is. */
  files(): readonly string[] {
    return [...this.#places.keys(), ...(this.#all ? [allFile] : [])];
  }

  /** Takes these for all keys of the registration; with none, it has no document. Gives the files that are others now. */
  set(namespace: string, registration: string, keys: readonly PublishedKey[]): readonly string[] {
    const own = registrationFile(namespace, registration);
    const entries = this.#namespaces.get(namespace) ?? new Map<string, Entry>();
    const before = entries.get(registration);
    const after = keys.length > 0 ? entryOf(own, keys) : undefined;
    if (before?.text === after?.text && before?.revoked === after?.revoked) return [];
    const aggregate = namespaceFile(namespace);
    if (after === undefined) {
      entries.delete(registration);
      this.#places.delete(own);
    } else {
      entries.set(registration, after);
      this.#places.set(own, { namespace, registration });
    }
    if (entries.size === 0) {
      this.#namespaces.delete(namespace);
      this.#places.delete(aggregate);
    } else {
      this.#namespaces.set(namespace, entries);
      this.#places.set(aggregate, { namespace });
    }
    return [own, aggregate, ...(this.#all ? [allFile] : [])];
  }

  /** What the file is to hold; `undefined` if there is no such document. */
  text(file: string): DocumentText | undefined {
    if (file === allFile && this.#all) {
      return aggregateText(
        file,
        sorted(this.#namespaces).flatMap(([, entries]) => sorted(entries).map(([, entry]) => entry)),
      );
    }
    const place = this.#places.get(file);
    if (place === undefined) return undefined;
    const entries = this.#namespaces.get(place.namespace) ?? new Map<string, Entry>();
    if (place.registration === undefined)
      return aggregateText(
        file,
        sorted(entries).map(([, entry]) => entry),
      );
    const entry = entries.get(place.registration);
    return entry && { pieces: [`{"keys":[${entry.text}${ending(entry.revoked)}`], collisions: entry.collisions };
  }
}

function sorted<T>(map: ReadonlyMap<string, T>): readonly (readonly [string, T])[] {
  return [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function entryOf(file: string, keys: readonly PublishedKey[]): Entry {
  const collisions: Collision[] = [];
  const published = keys.filter(({ state }) => publishedStates.has(state)).toSorted((a, b) => a.revision - b.revision);
  const listed = withoutCollisions(file, published, new Map(), collisions);
  const revocations = keys.map(({ revokedAt }) => (revokedAt === undefined ? NaN : Date.parse(revokedAt)));
  const shared = listed.filter(({ foreignKeyID = false }) => !foreignKeyID);
  const text = textOf(listed);
  return {
    shared,
    sharedText: shared.length === listed.length ? text : textOf(shared),
    text,
    revoked: Math.max(-Infinity, ...revocations.filter(Number.isFinite)),
    collisions,
  };
}

function textOf(keys: readonly PublishedKey[]): string {
  return keys.map(({ publicJWK }) => JSON.stringify(publicMembers(publicJWK))).join(',');
}

/** The first key of each key ID; `listed` gains those. */
function withoutCollisions(
  file: string,
  keys: readonly PublishedKey[],
  listed: Map<string, PublishedKey>,
  collisions: Collision[],
): readonly PublishedKey[] {
  return keys.filter((key) => {
    const keyID = key.publicJWK.kid;
    const first = listed.get(keyID);
    if (first === undefined) {
      listed.set(keyID, key);
      return true;
    }
    const sameKey = first.publicJWK.n === key.publicJWK.n && first.publicJWK.e === key.publicJWK.e;
    collisions.push({ file, keyID, listed: first, omitted: key, sameKey });
    return false;
  });
}

function aggregateText(file: string, entries: readonly Entry[]): DocumentText {
  const seen = new Map<string, PublishedKey>();
  const collisions: Collision[] = [];
  const pieces: string[] = [];
  let piece: string[] = [];
  let length = 0;
  let revoked = Number.NEGATIVE_INFINITY;
  for (const entry of entries) {
    revoked = Math.max(revoked, entry.revoked);
    const listed = withoutCollisions(file, entry.shared, seen, collisions);
    if (listed.length === 0) continue;
    const text = listed.length === entry.shared.length ? entry.sharedText : textOf(listed);
    piece.push(text);
    length += text.length;
    if (length < pieceLength) continue;
    pieces.push(piece.join(','));
    [piece, length] = [[], 0];
  }
  if (piece.length > 0) pieces.push(piece.join(','));
  const keys = pieces.map((text, index) => (index === 0 ? text : `,${text}`));
  return { pieces: ['{"keys":[', ...keys, ending(revoked)], collisions };
}

function ending(revoked: number): string {
  if (!Number.isFinite(revoked)) return ']}';
  return `],"revokedUntil":${JSON.stringify(new Date(revoked + revocationCachingMs).toISOString())}}`;
}
