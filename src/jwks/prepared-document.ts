import { createHash } from 'node:crypto';
import { serializeKeySet } from '../domain/jwks-document.ts';
import type { DocumentFile } from '../domain/jwks-document.ts';

/** Name, value, name, value …: what `writeHead` takes without building an object. */
export type RawHeaders = string[];

/** A document as it is answered: everything but the Date is computed before the first request. */
export interface PreparedDocument {
  /**
   * Absent for a known document without keys, which is answered 503. A string, where there is one, is ASCII and is to be
   * sent as latin1: node:http writes headers and a string at once, which is a quarter less work than with a Buffer.
   */
  readonly body?: string | Buffer;
  readonly etag: string;
  readonly ok: RawHeaders;
  readonly notModified: RawHeaders;
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
const longestString = 16_384;

export function prepareDocument(document: DocumentFile, maxAge: number, now: Date): PreparedDocument {
  const text = serializeKeySet(document);
  const bytes = Buffer.from(text);
  const etag = `"${createHash('sha256').update(bytes).digest('base64url')}"`;
  const revokedUntil = document.revokedUntil === undefined ? 0 : Date.parse(document.revokedUntil);
  const revoked = revokedUntil > now.getTime();
  const cached = [...commonHeaders, 'Cache-Control', cacheControl(maxAge, revoked), 'ETag', etag];
  return {
    ...(document.keys.length > 0 && {
      body: bytes.length === text.length && bytes.length <= longestString ? text : bytes,
    }),
    etag,
    // Canvas's deep-linking code cannot read application/jwk-set+json.
    ok: ['Content-Type', 'application/json', 'Content-Length', String(bytes.length), ...cached],
    notModified: cached,
    staleAt: revoked ? revokedUntil : Number.POSITIVE_INFINITY,
  };
}
