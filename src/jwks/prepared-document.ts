import { isAscii } from 'node:buffer';
import { createHash, hash } from 'node:crypto';
import type { KeySet } from '../domain/jwks-document-file.ts';

/** Name, value, name, value …: what `writeHead` takes without building an object. */
export type RawHeaders = string[];

/**
 * One form of a document: what is its own, and, for there may be 10,000 of them, once what the answers of many have alike.
 * All have the same members in the same order, so that V8 finds each of them in one step.
 */
export interface Representation {
  /**
   * Undefined for a known document without keys, which is answered 503. A string, where there is one, is ASCII and is to be
   * sent as latin1: node:http writes headers and a string at once, which is a quarter less work than with a Buffer.
   */
  readonly body: string | Buffer | undefined;
  /** Strong: it is a digest of the body, so every replica gives the same. */
  readonly etag: string;
  /** Both end with places for what each answer has of its own: joining two arrays would take two hundredths of its time. */
  readonly alike: { readonly ok: RawHeaders; readonly notModified: RawHeaders };
}

/** The headers of an answer with `body`; only the Date is missing. To be written at once: the next answer has the same array. */
export function okHeaders({ alike: { ok }, etag }: Representation, body: string | Buffer): RawHeaders {
  ok[ok.length - 3] = String(body.length);
  ok[ok.length - 1] = etag;
  return ok;
}

/** The headers of an answer 304, likewise. */
export function notModifiedHeaders({ alike: { notModified }, etag }: Representation): RawHeaders {
  notModified[notModified.length - 1] = etag;
  return notModified;
}

export interface PreparedDocument extends Representation {
  /** For clients that accept it; only large aggregates have it. */
  readonly gzip: Representation | undefined;
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
  const plain = yield* represent(body, empty, sharedHeaders(caching, gzipped === undefined ? 'only' : 'plain'));
  const gzip = gzipped && (yield* represent(gzipped, empty, sharedHeaders(caching, 'gzip')));
  return { ...plain, gzip, staleAt };
}

type Form = 'only' | 'plain' | 'gzip';
const known = new Map<string, Representation['alike']>();

/** One for all documents of the same form that are cached alike: there are a handful. */
function sharedHeaders(caching: string, form: Form): Representation['alike'] {
  const found = known.get(form + caching);
  if (found) return found;
  const cached = commonHeaders.concat('Cache-Control', caching);
  if (form !== 'only') cached.push('Vary', 'Accept-Encoding');
  const notModified = cached.concat('ETag', '');
  // Canvas's deep-linking code cannot read application/jwk-set+json.
  const described = cached.concat('Content-Type', 'application/json');
  if (form === 'gzip') described.push('Content-Encoding', 'gzip');
  const ok = described.concat('Content-Length', '', 'ETag', '');
  known.set(form + caching, { ok, notModified });
  return { ok, notModified };
}

function* represent(
  bytes: Buffer,
  empty: boolean,
  alike: Representation['alike'],
): Generator<undefined, Representation> {
  // JSON's quotes are an entity tag's, and the string is made in one piece.
  const etag = JSON.stringify(yield* digest(bytes));
  const body = bytes.length <= longestString ? smallBody(bytes) : bytes;
  return { body: empty ? undefined : body, etag, alike };
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
