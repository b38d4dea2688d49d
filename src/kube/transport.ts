import { request } from 'undici';
import type { Dispatcher } from 'undici';

import type { Clock } from '../lib/clock.ts';
import { Connections } from './connections.ts';
import type { Access, Credentials } from './credentials.ts';
import { ApiError, TransportError } from './errors.ts';
import { describe, malformed, refusal } from './responses.ts';
import { type Rate, RateLimiter } from './rate-limiter.ts';
import type { Refused } from './server-message.ts';

/** How long a call may take, from authentication to the last byte; a watch, to its response headers. */
const deadlineMs = 30_000;
/** Files and plugins are asked for credentials this often at the most: doing so for every call is a tenth of its cost. */
const accessLifetimeMs = 1000;

export interface ClientMetrics {
  /** @param code HTTP status, or `<error>` where there was no answer. */
  request(method: string, code: string, durationSeconds: number): void;
}

export interface TransportOptions {
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly userAgent: string;
  readonly metrics?: ClientMetrics | undefined;
  /** Of all requests but the opening of watches, which reflectors pace; none: without a limit. */
  readonly rate?: Rate | undefined;
}

export interface Call extends Refused {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
}

/** Authenticated calls under a deadline; anything but a JSON answer of status 2xx is thrown. */
export class Transport {
  readonly #credentials: Credentials;
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #metrics: ClientMetrics | undefined;
  readonly #limiter: RateLimiter | undefined;
  readonly #connections = new Connections();
  #access: { readonly value: Promise<Access>; readonly until: number } | undefined;
  #clockSkewMs: number | undefined;

  constructor(options: TransportOptions) {
    this.#credentials = options.credentials;
    this.#clock = options.clock;
    this.#userAgent = options.userAgent;
    this.#metrics = options.metrics;
    this.#limiter = options.rate && new RateLimiter(options.rate, options.clock);
  }

  get clockSkewMs(): number | undefined {
    return this.#clockSkewMs;
  }

  close(): Promise<void> {
    return this.#connections.close();
  }

  /** The whole body. */
  async text(call: Call, signal?: AbortSignal): Promise<string> {
    await this.#limiter?.admit(signal);
    return this.#withinDeadline(call, signal, async (limit) => (await this.#answer(call, limit)).body.text());
  }

  /** The body as it comes, under a deadline only until its first byte; it ends, by throwing, when `signal` aborts. */
  async stream(call: Call, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const { body } = await this.#withinDeadline(call, signal, (limit) => this.#answer(call, limit));
    return this.#chunks(call, body, signal);
  }

  async *#chunks(call: Call, body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      yield* body;
    } catch (error) {
      throw this.#failure(call, error, signal);
    }
  }

  async #withinDeadline<R>(
    call: Call,
    signal: AbortSignal | undefined,
    work: (limit: AbortSignal) => Promise<R>,
  ): Promise<R> {
    const timeout = new AbortController();
    const limit = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
    const cancel = this.#clock.setTimer(() => timeout.abort(), deadlineMs);
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(limit.reason);
    limit.addEventListener('abort', abort, { once: true });
    if (limit.aborted) abort();
    try {
      return await Promise.race([work(limit), aborted.promise]);
    } catch (error) {
      if (timeout.signal.aborted) {
        throw new TransportError('Timeout', `${describe(call)}: no answer within ${deadlineMs / 1000} s`);
      }
      throw this.#failure(call, error, signal);
    } finally {
      cancel();
      // while it is listened to, it lives as long as the signal that it was made of
      limit.removeEventListener('abort', abort);
    }
  }

  async #answer(call: Call, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    let response = await this.#attempt(call, signal);
    if (response.statusCode === 401) {
      // a token that was rotated before it expired, or that an exec plugin has cached: read everything afresh, once
      await response.body.dump();
      this.#credentials.reload();
      this.#access = undefined;
      response = await this.#attempt(call, signal);
    }
    const { statusCode: status, headers } = response;
    if (status < 200 || status >= 300) {
      const retryAfter = headers['retry-after'];
      throw refusal(call, { status, body: await response.body.text(), retryAfter: retryAfter?.toString() });
    }
    if (!/^application\/json\b/i.test(headers['content-type']?.toString() ?? '')) {
      await response.body.dump();
      throw malformed(call, 'is not JSON');
    }
    return response;
  }

  async #attempt(call: Call, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const access = await this.#currentAccess();
    const { requests, watches } = this.#connections.for(access.route);
    const sent = this.#clock.monotonic();
    let code = '<error>';
    try {
      const response = await request(`${access.server}${call.path}`, {
        dispatcher: call.verb === 'watch' ? watches : requests,
        method: call.method,
        headers: {
          ...access.headers,
          accept: 'application/json',
          'user-agent': this.#userAgent,
          ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        signal,
      });
      code = String(response.statusCode);
      this.#compareClocks(response.headers['date'], this.#clock.monotonic() - sent);
      return response;
    } finally {
      this.#metrics?.request(call.method, code, (this.#clock.monotonic() - sent) / 1000);
    }
  }

  async #currentAccess(): Promise<Access> {
    const now = this.#clock.monotonic();
    if (this.#access === undefined || this.#access.until <= now) {
      this.#access = { value: this.#credentials.access(), until: now + accessLifetimeMs };
    }
    const { value } = this.#access;
    try {
      return await value;
    } catch (error) {
      if (this.#access?.value === value) this.#access = undefined;
      throw error;
    }
  }

  /** The server wrote the header about half a round trip ago, and cut off what was over the second (half of one, say). */
  #compareClocks(date: string | string[] | undefined, roundTripMs: number): void {
    const server = Date.parse(date?.toString() ?? '');
    if (Number.isNaN(server)) return;
    this.#clockSkewMs = this.#clock.now().getTime() - roundTripMs / 2 - (server + 500);
  }

  #failure(call: Call, error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    if (error instanceof ApiError || error instanceof TransportError) return error;
    // not the message: a parser's quotes what it read
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    return new TransportError('Connection', `${describe(call)}: the connection to the API server failed (${code})`);
  }
}
