import { publishedStates } from '../domain/key-state.ts';
import { shortCachePeriod } from '../domain/timing.ts';
import { allFile, type DocumentOwner, namespaceFile, registrationFile } from '../documents/document-names.ts';
import type { PublishedKey } from './published-key.ts';

/** A key that was left out of one document because another key there has its key ID. */
export interface Collision {
  readonly file: string;
  readonly keyID: string;
  readonly listed: PublishedKey;
  readonly omitted: PublishedKey;
  /** Both are the same key, so every signature can be verified. If false, platforms cannot verify with the omitted key here. */
  readonly sameKey: boolean;
}

/** The keys of one registration, as the documents list them. */
interface Entry {
  /** The keys in its own document and in that of the namespace, by revision. */
  readonly listed: readonly PublishedKey[];
  /** Their JSON, with commas between them. */
  readonly text: string;
  /** The keys that the document of all namespaces lists too. */
  readonly shared: readonly PublishedKey[];
  readonly sharedText: string;
  /** The ages of its foreign key IDs: they decide which of two claims is the older one. */
  readonly claims: string;
  /** The newest revocation, in milliseconds since the epoch. */
  readonly revoked: number;
  readonly collisions: readonly Collision[];
}

/** The part of one registration in an aggregate. */
interface Part {
  readonly keys: readonly PublishedKey[];
  readonly text: string;
  readonly revoked: number;
}

/** The text of one file, in pieces that are short enough to be hashed without blocking the event loop. */
export interface DocumentText {
  readonly pieces: readonly string[];
  readonly collisions: readonly Collision[];
}

/** Characters of a piece, approximately. */
const pieceLength = 65_536;

/**
 * Renders the documents: one for each registration and namespace that has a key in any state, and with `all` the one of all
 * namespaces, even without keys. The text of each registration is cached, so a change of one costs its own document and a walk over
 * cached texts for each aggregate that lists it.
 *
 * Keys are ordered by namespace, registration and revision, independent of clock, insertion order and locale.
 * `hasBetterClaim` decides which of two keys with the same key ID is listed.
 */
export class DocumentRenderer {
  readonly #all: boolean;
  /** Namespace → registration → entry. */
  readonly #namespaces = new Map<string, Map<string, Entry>>();
  /** File → owner, without the document of all namespaces. */
  readonly #owners = new Map<string, Exclude<DocumentOwner, { scope: 'all' }>>();

  constructor({ all }: { readonly all: boolean }) {
    this.#all = all;
  }

  /** The files of all documents. */
  files(): readonly string[] {
    return [...this.#owners.keys(), ...(this.#all ? [allFile] : [])];
  }

  /** Replaces all keys of the registration; without keys, it has no document. Returns the files that change. */
  setKeys(namespace: string, registration: string, keys: readonly PublishedKey[]): readonly string[] {
    const own = registrationFile(namespace, registration);
    const entries = this.#namespaces.get(namespace) ?? new Map<string, Entry>();
    const before = entries.get(registration);
    const after = keys.length > 0 ? entryOf(own, keys) : undefined;
    const revoked = before?.revoked !== after?.revoked;
    if (!revoked && before?.text === after?.text && before?.claims === after?.claims) return [];
    const aggregate = namespaceFile(namespace);
    if (after === undefined) {
      entries.delete(registration);
      this.#owners.delete(own);
    } else {
      entries.set(registration, after);
      this.#owners.set(own, { scope: 'registration', namespace, registration });
    }
    if (entries.size === 0) {
      this.#namespaces.delete(namespace);
      this.#owners.delete(aggregate);
    } else {
      this.#namespaces.set(namespace, entries);
      this.#owners.set(aggregate, { scope: 'namespace', namespace });
    }
    const inAll = revoked || before?.sharedText !== after?.sharedText;
    return [own, aggregate, ...(this.#all && inAll ? [allFile] : [])];
  }

  /** `undefined` if there is no such document. */
  render(file: string): DocumentText | undefined {
    if (file === allFile && this.#all) {
      const entries = sorted(this.#namespaces).flatMap(([, those]) => sorted(those).map(([, entry]) => entry));
      return aggregateText(
        file,
        entries.map(({ shared, sharedText, revoked }) => ({ keys: shared, text: sharedText, revoked })),
      );
    }
    const owner = this.#owners.get(file);
    if (owner === undefined) return undefined;
    const entries = this.#namespaces.get(owner.namespace) ?? new Map<string, Entry>();
    if (owner.scope === 'namespace') {
      const those = sorted(entries).map(([, entry]) => entry);
      return aggregateText(
        file,
        those.map(({ listed, text, revoked }) => ({ keys: listed, text, revoked })),
      );
    }
    const entry = entries.get(owner.registration);
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
  // Registrations of one namespace trust each other, and a tool that used one key for all its platforms gave them one URL. Between
  // namespaces, none can take the key ID of another.
  const shared = listed.filter(({ foreignKeyID = false }) => !foreignKeyID);
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
  return keys.map(({ publicJWK }) => JSON.stringify(publicJWK)).join(',');
}

/** Records which key holds each key ID; `keys` are in the order of the document. */
function claim(holders: Map<string, PublishedKey>, keys: readonly PublishedKey[]): void {
  for (const key of keys) {
    const holder = holders.get(key.publicJWK.kid);
    if (holder === undefined || hasBetterClaim(key, holder)) holders.set(key.publicJWK.kid, key);
  }
}

/**
 * A thumbprint cannot be chosen, so a key that is named by its own thumbprint always keeps its ID. Of two foreign key IDs the
 * older one stays: a new registration with an earlier name must not displace a key that signs.
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

/** Returns the keys that hold their key IDs, and adds the others to `collisions`. */
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
    collisions.push({ file, keyID, listed, omitted: key, sameKey: isSameKey(listed, key) });
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

function isSameKey({ publicJWK: one }: PublishedKey, { publicJWK: other }: PublishedKey): boolean {
  return one.n === other.n && one.e === other.e;
}
