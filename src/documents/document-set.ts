import { publishedStates } from '../domain/key-state.ts';
import { shortCachePeriod } from '../domain/timing.ts';
import {
  type Collision,
  type PublishedKey,
  allFile,
  documentsListing,
  isSameKey,
  namespaceFile,
  publicMembers,
  registrationFile,
} from './key-set.ts';

/** What the documents need to know of one registration. */
interface Entry {
  /** Those that its own document and that of the namespace list, by revision. */
  readonly listed: readonly PublishedKey[];
  /** Their JSON, with commas between them. */
  readonly text: string;
  /** Those that the document of all namespaces lists too. */
  readonly shared: readonly PublishedKey[];
  readonly sharedText: string;
  /** The ages of its foreign key IDs: they decide who has one that is claimed twice. */
  readonly claims: string;
  /** Milliseconds since the epoch of the newest revocation. */
  readonly revoked: number;
  readonly collisions: readonly Collision[];
}

/** What one registration brings into an aggregate. */
interface Part {
  readonly keys: readonly PublishedKey[];
  readonly text: string;
  readonly revoked: number;
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
 * Which of two keys with one key ID is listed: see `hasBetterClaim`.
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
    const revoked = before?.revoked !== after?.revoked;
    if (!revoked && before?.text === after?.text && before?.claims === after?.claims) return [];
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
    const inAll = revoked || before?.sharedText !== after?.sharedText;
    return [own, aggregate, ...(this.#all && inAll ? [allFile] : [])];
  }

  /** What the file is to hold; `undefined` if there is no such document. */
  text(file: string): DocumentText | undefined {
    if (file === allFile && this.#all) {
      const entries = sorted(this.#namespaces).flatMap(([, those]) => sorted(those).map(([, entry]) => entry));
      return aggregateText(
        file,
        entries.map(({ shared, sharedText, revoked }) => ({ keys: shared, text: sharedText, revoked })),
      );
    }
    const place = this.#places.get(file);
    if (place === undefined) return undefined;
    const entries = this.#namespaces.get(place.namespace) ?? new Map<string, Entry>();
    if (place.registration === undefined) {
      const those = sorted(entries).map(([, entry]) => entry);
      return aggregateText(
        file,
        those.map(({ listed, text, revoked }) => ({ keys: listed, text, revoked })),
      );
    }
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
  const holders = new Map<string, PublishedKey>();
  claim(holders, published);
  const listed = holding(file, published, holders, collisions);
  const revocations = keys.map(({ revokedAt }) => (revokedAt === undefined ? NaN : Date.parse(revokedAt)));
  const shared = listed.filter((key) => documentsListing(key).includes('all'));
  const foreign = listed.length - shared.length;
  const text = textOf(listed);
  return {
    listed,
    text,
    shared: foreign === 0 ? listed : shared,
    sharedText: foreign === 0 ? text : textOf(shared),
    claims: foreign === 0 ? '' : listed.map(({ createdAt }) => createdAt).join(),
    revoked: Math.max(-Infinity, ...revocations.filter(Number.isFinite)),
    collisions,
  };
}

function textOf(keys: readonly PublishedKey[]): string {
  return keys.map(({ publicJWK }) => JSON.stringify(publicMembers(publicJWK))).join(',');
}

/** Notes for each key ID the key that has it; the keys come in the order of the document. */
function claim(holders: Map<string, PublishedKey>, keys: readonly PublishedKey[]): void {
  for (const key of keys) {
    const holder = holders.get(key.publicJWK.kid);
    if (holder === undefined || hasBetterClaim(key, holder)) holders.set(key.publicJWK.kid, key);
  }
}

/**
 * Nobody can choose a thumbprint, so a key named by its own stays, whoever claims the same text. Of foreign key IDs the one
 * that was there first stays: a newcomer's name in the alphabet must not take a key away that signs.
 */
function hasBetterClaim(key: PublishedKey, holder: PublishedKey): boolean {
  const { foreignKeyID = false } = key;
  const { foreignKeyID: holdsForeign = false } = holder;
  if (foreignKeyID !== holdsForeign) return holdsForeign;
  return foreignKeyID && since(key) < since(holder);
}

function since({ createdAt }: PublishedKey): number {
  return createdAt === undefined ? Infinity : Date.parse(createdAt);
}

/** The keys that have their key IDs; the others are collisions. */
function holding(
  file: string,
  keys: readonly PublishedKey[],
  holders: ReadonlyMap<string, PublishedKey>,
  collisions: Collision[],
): readonly PublishedKey[] {
  return keys.filter((key) => {
    const keyID = key.publicJWK.kid;
    const listed = holders.get(keyID) ?? key;
    if (listed === key) return true;
    collisions.push({ file, keyID, listed, omitted: key, sameKey: isSameKey(listed.publicJWK, key.publicJWK) });
    return false;
  });
}

function aggregateText(file: string, parts: readonly Part[]): DocumentText {
  const holders = new Map<string, PublishedKey>();
  for (const { keys } of parts) claim(holders, keys);
  const collisions: Collision[] = [];
  const pieces: string[] = [];
  let piece: string[] = [];
  let length = 0;
  let revoked = Number.NEGATIVE_INFINITY;
  for (const part of parts) {
    revoked = Math.max(revoked, part.revoked);
    const listed = holding(file, part.keys, holders, collisions);
    if (listed.length === 0) continue;
    const text = listed.length === part.keys.length ? part.text : textOf(listed);
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
  return `],"revokedUntil":${JSON.stringify(new Date(revoked + shortCachePeriod).toISOString())}}`;
}
