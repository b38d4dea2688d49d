import { isAscii } from 'node:buffer';
import { createHash, hash } from 'node:crypto';
import type { KeySet } from '../domain/jwks-document-file.ts';

/** Name, value, name, value …: what `writeHead` takes without building an object. */
export type RawHeaders = string[];

/** One form of a document: what is its own, and, for there may be 10,000 of them, once what the answers of many have alike. */
export interface Representation {
  /**
   * Absent for a known document without keys, which is answered 503. A string, where there is one, is ASCII and is to be
   * sent as latin1: node:http writes headers and a string at once, which is a quarter less work than with a Buffer.
   */
  readonly body?: string | Buffer;
  /** Strong: it is a digest of the body, so every replica gives the same. */
  readonly etag: string;
  readonly alike: { readonly ok: RawHeaders; readonly notModified: RawHeaders };
}

/** The headers of an answer with `body`; only the Date is missing. */
export function okHeaders({ alike, etag }: Representation, body: string | Buffer): RawHeaders {
  return alike.ok.concat('Content-Length', String(body.length), 'ETag', etag);
}

/** The headers of an answer 304. */
export function notModifiedHeaders({ alike, etag }: Representation): RawHeaders {
  return alike.notModified.concat('ETag', etag);
}

export interface PreparedDocument extends Representation {
  /** For clients that accept it; only large aggregates have it. */
  readonly gzip?: Representation;
  /** Milliseconds since the epoch at which the caching headers change: the document is to be prepared again then. */
  readonly staleAt: number;
}

/** Sent with every answer: the sets are public, and nobody may guess another type. */
export const commonHeaders: Readonly<RawHeaders> = [
  'Access-Control-Allow-Origin',
  '*',
  'X-Content-Type-Options',
  'nosniff',
];

const revokedMaxAge = 60;

/** `maxAge` in seconds. A CDN may serve the old set for the stale times too, so after a revocation they are left out. */
function cacheControl(maxAge: number, revoked: boolean): string {
  if (revoked) return `public, max-age=${Math.min(maxAge, revokedMaxAge)}`;
  return `public, max-age=${maxAge}, stale-while-revalidate=60, stale-if-error=3600`;
}

/** Bytes above which the copying that a string takes costs more than the second write of a Buffer. */
export const longestString = 16_384;
/** Bytes hashed in one step, well under a millisecond. */
const hashedAtOnce = 262_144;

/** `maxAge` in seconds; `gzipped` is the body in that coding, where there is to be such a form. Pauses between short steps. */
export function* prepareDocument(
  { body, empty, revokedUntil }: KeySet,
  { maxAge, now, gzipped }: { maxAge: number; now: Date; gzipped?: Buffer },
): Generator<undefined, PreparedDocument> {
  const expiry = revokedUntil === undefined ? 0 : Date.parse(revokedUntil);
  const revoked = expiry > now.getTime();
  const caching = cacheControl(maxAge, revoked);
  const staleAt = revoked ? expiry : Number.POSITIVE_INFINITY;
  if (gzipped === undefined) return { ...(yield* represent(body, empty, sharedHeaders(caching, 'only'))), staleAt };
  const plain = yield* represent(body, empty, sharedHeaders(caching, 'plain'));
  return { ...plain, gzip: yield* represent(gzipped, empty, sharedHeaders(caching, 'gzip')), staleAt };
}

type Form = 'only' | 'plain' | 'gzip';
const known = new Map<string, Representation['alike']>();

/** One for all documents of the same form that are cached alike: there are a handful. */
function sharedHeaders(caching: string, form: Form): Representation['alike'] {
  const found = known.get(form + caching);
  if (found) return found;
  const notModified = commonHeaders.concat('Cache-Control', caching);
  if (form !== 'only') notModified.push('Vary', 'Accept-Encoding');
  // Canvas's deep-linking code cannot read application/jwk-set+json.
  const ok = notModified.concat('Content-Type', 'application/json');
  if (form === 'gzip') ok.push('Content-Encoding', 'gzip');
  known.set(form + caching, { ok, notModified });
  return { ok, notModified };
}

function* represent(
  bytes: Buffer,
  empty: boolean,
  headers: Representation['alike'],
): Generator<undefined, Representation> {
  // JSON's quotes are an entity tag's, and the string is made in one piece.
  const etag = JSON.stringify(yield* digest(bytes));
  return {
    ...(!empty && { body: bytes.length <= longestString ? smallBody(bytes) : bytes }),
    etag,
    alike: headers,
  };
}

/** The bytes may be those of a buffer that is used again. */
function smallBody(bytes: Buffer): string | Buffer {
  return isAscii(bytes) ? bytes.toString('latin1') : Buffer.from(bytes);
}

function* digest(bytes: Buffer): Generator<undefined, string> {
  if (bytes.length <= hashedAtOnce) return hash('sha256', bytes, 'base64url');
  const running = createHash('sha256');
  for (let at = 0; at < bytes.length; at += hashedAtOnce) {
    running.update(bytes.subarray(at, at + hashedAtOnce));
    yield;
  }
  return running.digest('base64url');
}
