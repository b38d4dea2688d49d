import { request } from 'undici';
import { operatorUserAgent } from '../documents/fetch-report.ts';
import type { Clock } from '../lib/clock.ts';

/** One answer of a JWKS URL, after redirects. */
export interface Answer {
  /** The URL that answered. */
  readonly url: URL;
  readonly redirects: number;
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
  /** From the request to the last byte. */
  readonly milliseconds: number;
}

interface FetchOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

/** No platform follows more; Canvas follows two. */
const maximumRedirects = 5;
/** PyJWT waits 30 s, Canvas 30 s for the answer. */
const timeout = 30_000;
const maximumBytes = 8 * 2 ** 20;

/** GETs a JWKS URL as platforms do: with the certificate authorities of the machine, and with redirects. */
export async function fetchAsPlatform(url: URL, options: FetchOptions, redirects = 0): Promise<Answer> {
  const { clock, headers } = options;
  const began = clock.monotonic();
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(timeout)]);
  const answer = await request(url, {
    headers: { accept: 'application/json', 'user-agent': operatorUserAgent, ...headers },
    signal,
    headersTimeout: timeout,
    bodyTimeout: timeout,
  }).catch((error: unknown) => {
    throw new Error(whatFailed(url, error));
  });
  const { location } = answer.headers;
  if (
    answer.statusCode >= 300 &&
    answer.statusCode < 400 &&
    answer.statusCode !== 304 &&
    typeof location === 'string'
  ) {
    await answer.body.dump();
    if (redirects === maximumRedirects) throw new Error(`${url.href} redirects more than ${maximumRedirects} times`);
    return fetchAsPlatform(new URL(location, url), options, redirects + 1);
  }
  let body = '';
  for await (const chunk of answer.body.setEncoding('utf8')) {
    body += String(chunk);
    if (body.length > maximumBytes) throw new Error(`${url.href} answers with more than ${maximumBytes} bytes`);
  }
  return {
    url,
    redirects,
    status: answer.statusCode,
    headers: Object.fromEntries(
      Object.entries(answer.headers).map(([name, value]) => [name, [value].flat().join(', ')]),
    ),
    body,
    milliseconds: clock.monotonic() - began,
  };
}

function whatFailed(url: URL, error: unknown): string {
  const { code, name, message } = error instanceof Error ? (error as NodeJS.ErrnoException) : {};
  if (name === 'TimeoutError') return `${url.host} gives no answer within ${timeout / 1000} s`;
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    return `${url.host} does not answer with TLS (${code}): serve https at this port, or give the port that does`;
  }
  const tls = code !== undefined && /CERT|TLS|SSL|SIGNATURE|ISSUER/.test(code);
  return tls
    ? `${url.host} has a certificate that clients do not accept (${code}): serve the whole chain of a publicly trusted one`
    : `cannot fetch from ${url.host} (${code ?? message ?? 'unknown'})`;
}
