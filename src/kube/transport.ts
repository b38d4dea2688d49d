import { type Dispatcher, request } from 'undici';
import { type Duration, second } from '../domain/duration.ts';
import { type Clock, withDeadline } from '../lib/clock.ts';
import { errorCode } from '../lib/error-code.ts';
import { ApiConnections } from './api-connections.ts';
import type { Access, Credentials } from './credentials.ts';
import { ApiError, TransportError } from './errors.ts';
import { describe, malformed, methods, type Operation, refusal } from './responses.ts';
import { type Rate, RateLimiter } from '../lib/rate-limiter.ts';

/** Limits a call from its authentication to the last byte, and a watch up to its response headers. */
const deadline: Duration = 30 * second;
/** Reading files and plugins for every call would be a tenth of its cost. */
const accessLifetime: Duration = second;

export interface ClientMetrics {
  /** @param code HTTP status, or `<error>` if there was no answer */
  request(method: string, code: string, durationSeconds: number): void;
}

export interface TransportOptions {
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly userAgent: string;
  readonly metrics?: ClientMetrics | undefined;
  /** Limits all requests but watches, which reflectors pace; absent: no limit. */
  readonly rate?: Rate | undefined;
}

export interface Call extends Operation {
  /** Path and query. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
}

/** Authenticated calls with a deadline; throws unless the answer is JSON with a status of 2xx. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #clock: Clock;
  readonly #limiter: RateLimiter | undefined;
  readonly #connections = new ApiConnections();
  #access: { readonly value: Promise<Access>; readonly until: number } | undefined;
  /** See KubeClient.clockSkew. */
  clockSkew: Duration | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#limiter = options.rate && new RateLimiter(options.rate, options.clock);
  }

  close(): Promise<void> {
    return this.#connections.close();
  }

  /** Returns the whole body. */
  async text(call: Call, signal?: AbortSignal): Promise<string> {
    await this.#limiter?.admit(signal);
    return this.#withinDeadline(call, signal, async (limit) => (await this.#answer(call, limit)).body.text());
  }

  /** Returns the body as it arrives. The deadline ends with the response headers; the body throws if `signal` aborts. */
  async stream(call: Call, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const open = (limit: AbortSignal) => this.#answer(call, AbortSignal.any([limit, signal]));
    const { body } = await this.#withinDeadline(call, signal, open);
    return this.#chunks(call, body, signal);
  }

  async *#chunks(call: Call, body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      yield* body;
    } catch (error) {
      throw failure(call, error, signal);
    }
  }

  async #withinDeadline<R>(
    call: Call,
    signal: AbortSignal | undefined,
    work: (limit: AbortSignal) => Promise<R>,
  ): Promise<R> {
    const late = () => new TransportError('Timeout', `${describe(call)}: no answer within ${deadline / second} s`);
    try {
      return await withDeadline({ clock: this.#clock, milliseconds: deadline, late, signal }, work);
    } catch (error) {
      throw failure(call, error, signal);
    }
  }

  async #answer(call: Call, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    let response = await this.#attempt(call, signal);
    if (response.statusCode === 401) {
      // the token may have been rotated before it expired, or cached by an exec plugin: reload everything, once
      await response.body.dump();
      this.#options.credentials.reload();
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
    const method = methods[call.verb];
    const sent = this.#clock.monotonic();
    let code = '<error>';
    try {
      const response = await request(`${access.server}${call.path}`, {
        dispatcher: call.verb === 'watch' ? watches : requests,
        method,
        headers: {
          ...access.headers,
          accept: 'application/json',
          'user-agent': this.#options.userAgent,
          ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        signal,
      });
      code = String(response.statusCode);
      this.#compareClocks(response.headers['date'], this.#clock.monotonic() - sent);
      return response;
    } finally {
      this.#options.metrics?.request(method, code, (this.#clock.monotonic() - sent) / second);
    }
  }

  #currentAccess(): Promise<Access> {
    const now = this.#clock.monotonic();
    if (this.#access === undefined || this.#access.until <= now) {
      const value = this.#options.credentials.access();
      this.#access = { value, until: now + accessLifetime };
      value.catch(() => (this.#access = undefined));
    }
    return this.#access.value;
  }

  /** The server wrote the header about half a round trip ago, and truncated it to whole seconds (by half a second on average). */
  #compareClocks(date: string | string[] | undefined, roundTrip: Duration): void {
    const server = Date.parse(date?.toString() ?? '');
    if (!Number.isNaN(server)) this.clockSkew = this.#clock.now().getTime() - roundTrip / 2 - (server + second / 2);
  }
}

function failure(call: Call, error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof ApiError || error instanceof TransportError) return error;
  // not the message: a parser's quotes its input
  const code = errorCode(error);
  return new TransportError('Connection', `${describe(call)}: the connection to the API server failed (${code})`);
}
