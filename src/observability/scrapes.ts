import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Logger } from './log.ts';

/** The part of prom-client's Registry that scrapes use. */
export interface MetricsRegistry {
  readonly contentType: string;
  metrics(): Promise<string>;
}

export interface ScrapeOptions {
  readonly metrics: MetricsRegistry;
  /** Text after that of the registry, in pieces. */
  readonly streamed?: () => Iterable<string>;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Characters per chunk. */
const chunkLength = 16_384;
/** A client that does not read a chunk in this time is disconnected, because others wait behind it. */
export const stallMs = 2000;
/** So is a client that has not read everything in this time, the default timeout of Prometheus. */
export const scrapeMs = 10_000;
/** Scrapes that may wait; further ones are refused. */
export const longestQueue = 16;

/**
 * Answers scrapes one at a time, in chunks that are rendered when the client has read the previous one. So memory holds one chunk,
 * whatever the number of registrations and clients.
 */
export class Scrapes {
  readonly #options: ScrapeOptions;
  #turn: Promise<void> = Promise.resolve();
  #queued = 0;

  constructor(options: ScrapeOptions) {
    this.#options = options;
  }

  /** Resolves when the response has ended, completely or not. */
  async answer(response: ServerResponse): Promise<void> {
    if (this.#queued >= longestQueue) {
      return void response
        .writeHead(503, { 'Content-Type': 'text/plain; charset=utf-8', 'Retry-After': '5', ...noStore })
        .end('too many scrapes at once\n');
    }
    this.#queued += 1;
    const before = this.#turn;
    const { promise, resolve: pass } = Promise.withResolvers<void>();
    this.#turn = promise;
    try {
      await before;
      if (!response.destroyed) await this.#stream(response);
    } finally {
      this.#queued -= 1;
      pass();
    }
  }

  async #stream(response: ServerResponse): Promise<void> {
    const { metrics, log, clock } = this.#options;
    // Covers the whole response: its end may still be buffered when the next scrape starts.
    response.once(
      'close',
      clock.setTimer(() => response.destroy(), scrapeMs),
    );
    try {
      for await (const chunk of this.#chunks()) {
        if (!response.headersSent) response.writeHead(200, { 'Content-Type': metrics.contentType, ...noStore });
        if (!response.write(chunk)) await this.#taken(response);
        if (response.destroyed) return;
        // Lets reconciles and probes run between chunks.
        await setImmediate();
      }
      response.end();
    } catch (error) {
      log.error({ error }, 'cannot compute the metrics');
      if (response.headersSent) response.destroy();
      else response.writeHead(500, noStore).end('the metrics cannot be computed; see the log\n');
    }
  }

  async *#chunks(): AsyncGenerator<string> {
    let chunk = await this.#options.metrics.metrics();
    for (const piece of this.#options.streamed?.() ?? []) {
      chunk += piece;
      if (chunk.length < chunkLength) continue;
      yield chunk;
      chunk = '';
    }
    yield chunk;
  }

  async #taken(response: ServerResponse): Promise<void> {
    const over = new AbortController();
    const taken = (): void => over.abort();
    response.once('drain', taken).once('close', taken);
    await sleep(this.#options.clock, stallMs, over.signal);
    response.off('drain', taken).off('close', taken);
    if (!over.signal.aborted) response.destroy();
  }
}

const noStore = { 'Cache-Control': 'no-store' };
