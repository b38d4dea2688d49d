import type { LtiKey } from '../api/objects.ts';
import { type KeyState, publishedStates } from '../domain/key-state.ts';
import { describeKeySetUse } from '../domain/platforms.ts';
import { narrowPublicJwk, type PublicJwk } from '../domain/public-jwk.ts';
import { isJsonObject } from '../lib/json-object.ts';
import { type Answer, fetchAsPlatform } from './jwks-fetch.ts';
import { counted } from './output.ts';

export interface Check {
  readonly check: string;
  /** `warning`: some platform or client may have trouble. */
  readonly result: 'passed' | 'warning' | 'failed';
  readonly detail: string;
}

/** Canvas follows this many redirects (`CanvasHttp`, redirect limit 3). */
const canvasRedirects = 2;
/** Default limits of Nimbus' RemoteJWKSet, which many Java platforms use. */
const nimbusBytes = 51_200;
const nimbusMilliseconds = 500;
/** A day: with a longer cache lifetime, the default activation delay of 24 h is too short. */
const longestMaxAge = 86_400;

/** Checks an answer for what platforms refuse or handle badly. */
export function checkAnswer(answer: Answer, keys: readonly LtiKey[], platform: string): readonly Check[] {
  const { status, headers, body, redirects, milliseconds } = answer;
  const checks = [
    check(
      'redirects',
      redirects === 0 ? 'passed' : redirects > canvasRedirects ? 'failed' : 'warning',
      redirects === 0
        ? 'none'
        : `${redirects}, to ${answer.url.href}: Canvas follows ${canvasRedirects}, other platforms none; give the platform the last URL`,
    ),
    check('status', status === 200 ? 'passed' : 'failed', status === 200 ? '200' : `${status}${statusHint(status)}`),
  ];
  if (status !== 200) return checks;
  const type = headers['content-type'] ?? '';
  checks.push(
    check(
      'content type',
      /^application\/json\b/i.test(type) ? 'passed' : 'failed',
      /^application\/json\b/i.test(type)
        ? type
        : `${type || 'absent'}: Canvas reads deep linking responses with application/json only`,
    ),
    cacheCheck(headers),
    check(
      'size',
      body.length > nimbusBytes ? 'warning' : 'passed',
      body.length > nimbusBytes
        ? `${body.length} bytes: Java clients with Nimbus' defaults refuse more than ${nimbusBytes}; give the platform the URL of the registration alone`
        : `${body.length} bytes`,
    ),
    check(
      'time',
      milliseconds > nimbusMilliseconds ? 'warning' : 'passed',
      `${Math.round(milliseconds)} ms${milliseconds > nimbusMilliseconds ? `: Java clients with Nimbus' defaults wait ${nimbusMilliseconds} ms` : ''}`,
    ),
    ...keyChecks(body, keys),
  );
  const use = describeKeySetUse(platform);
  return use === undefined ? checks : [...checks, check(platform, 'passed', use)];
}

function check(name: string, result: Check['result'], detail: string): Check {
  return { check: name, result, detail };
}

function statusHint(status: number): string {
  if (status === 404) return ': the registration has no published key, or the URL is wrong';
  if (status === 401 || status === 403) return ': platforms fetch without credentials; remove what asks for them';
  if (status === 503) return ': the operator has not synchronized yet, or no replica is ready';
  return '';
}

function cacheCheck(headers: Answer['headers']): Check {
  const control = headers['cache-control'] ?? '';
  const maxAge = /(?:^|[,\s])max-age=(\d{1,9})/i.exec(control)?.[1];
  if (maxAge === undefined) {
    return check(
      'caching',
      'warning',
      `Cache-Control ${control || 'is absent'}: without max-age, caches decide themselves how long they keep it`,
    );
  }
  const age = headers['age'] === undefined ? '' : `, Age ${headers['age']} (a cache answered)`;
  return Number(maxAge) > longestMaxAge
    ? check('caching', 'warning', `${control}${age}: over a day, so a new key may sign before caches have it`)
    : check('caching', 'passed', `${control}${age}`);
}

function keyChecks(body: string, keys: readonly LtiKey[]): Check[] {
  const served = readKeys(body);
  if (typeof served === 'string') return [check('key set', 'failed', served)];
  const find = (key: LtiKey): PublicJwk | undefined =>
    served.find(({ kid, n, e }) => kid === key.spec.keyID && n === key.spec.publicJWK.n && e === key.spec.publicJWK.e);
  const state = (key: LtiKey): KeyState | undefined => key.status?.state;
  const wanted = keys.filter((key) => publishedStates.has(state(key)!));
  const missing = wanted.filter((key) => !find(key));
  const revoked = keys.filter((key) => state(key) === 'Revoked' && find(key));
  return [
    check('key set', 'passed', `${counted(served.length, 'RSA key')} for RS256, without private members`),
    missing.length === 0
      ? check(
          'keys',
          'passed',
          `every published key is served (${wanted.map(({ metadata }) => metadata.name).join(', ') || 'none'})`,
        )
      : check(
          'keys',
          'failed',
          `${list(missing)} missing: tokens that it signs are refused; purge the cache in between, or see kubectl lti status`,
        ),
    revoked.length === 0
      ? check('revoked keys', 'passed', 'none is served')
      : check('revoked keys', 'failed', `${list(revoked)} still served: purge the cache in between`),
  ];
}

function list(keys: readonly LtiKey[]): string {
  return `${keys.map(({ metadata, status }) => `${metadata.name} (${status?.state})`).join(', ')} ${keys.length === 1 ? 'is' : 'are'}`;
}

/** The keys of a JWK Set (RFC 7517 §5), or what is wrong with it. */
function readKeys(body: string): readonly PublicJwk[] | string {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return 'the answer is not JSON: does a login page or a web application answer at this URL?';
  }
  if (!isJsonObject(value) || !Array.isArray(value['keys']))
    return 'the answer is JSON, but not a JWK Set: it has no list keys';
  const keys: PublicJwk[] = [];
  for (const [index, entry] of value['keys'].entries()) {
    const key = narrowPublicJwk(entry);
    if (typeof key === 'string') return `key ${index + 1} ${key}`;
    keys.push(key);
  }
  return keys.length === 0 ? 'the key set is empty: some platforms refuse it as a whole' : keys;
}

/** Whether an unchanged document is answered with 304, which spares platforms the body (RFC 9110 §13.1.2). */
export async function checkRevalidation(
  url: URL,
  { headers }: Answer,
  options: Pick<Parameters<typeof fetchAsPlatform>[1], 'clock' | 'signal'>,
): Promise<Check> {
  const { etag } = headers;
  if (etag === undefined) return check('revalidation', 'warning', 'no ETag: caches fetch the whole document each time');
  const again = await fetchAsPlatform(url, { ...options, headers: { 'if-none-match': etag } }).catch(() => undefined);
  return again?.status === 304
    ? check('revalidation', 'passed', 'an unchanged document is answered with 304')
    : check('revalidation', 'warning', `If-None-Match is answered with ${again?.status ?? 'nothing'}, not 304`);
}
