import { type Duration, second } from '../domain/duration.ts';

/** The Cache-Control of the documents. All times are in seconds. */

/** Default of `--max-age`. */
export const defaultMaxAge = 300;
/** RFC 5861: how much longer a cache may serve a document while it fetches a new one … */
const staleWhileRevalidate = 60;
/** … and while the server does not answer. */
const staleIfError = 3600;
/** Limit of max-age after a revocation. */
const revokedMaxAge = 60;

/** A CDN may serve a document for the stale times too, so they are left out after a revocation. */
export function cacheControl(maxAge: number, afterRevocation: boolean): string {
  if (afterRevocation) return `public, max-age=${Math.min(maxAge, revokedMaxAge)}`;
  return `public, max-age=${maxAge}, stale-while-revalidate=${staleWhileRevalidate}, stale-if-error=${staleIfError}`;
}

/** RFC 9111 §5.2.2.1 and RFC 5861: the longest time for which a cache may serve a response with this Cache-Control. */
export function cacheLifetime(header: string): Duration {
  const times = header.matchAll(/(?:^|[\s,])(?:max-age|stale-while-revalidate|stale-if-error)=(\d{1,9})/g);
  return [...times].reduce((sum, [, seconds]) => sum + Number(seconds), 0) * second;
}
