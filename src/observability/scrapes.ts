import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Logger } from './log.ts';

/** Of prom-client's Registry what is needed here. */
export interface MetricsRegistry {
  readonly contentType: string;
  metrics(): Promise<string>;
}

export interface ScrapeOptions {
  readonly metrics: MetricsRegistry;
  /** More of the text, in pieces, after what the registry says. */
  readonly streamed?: () => Iterable<string>;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Characters that are written at once. */
const chunkLength = 16_384;
/** A reader that leaves a chunk untaken for this long is cut off, for others wait behind it … */
export const stallMs = 2000;
/** … and so is one that has not taken everything in this time, which is Prometheus's own timeout. */
export const scrapeMs = 10_000;
/** Scrapes that wait; more are sent away. */
export const longestLine = 16;

/**
 * Answers scrapes one after the other, each in chunks that are made when the reader has taken the one before. However many
 * registrations and readers there are, memory holds one chunk.
 */
export class Scrapes {
  readonly #options: ScrapeOptions;
  #turn: Promise<void> = Promise.resolve();
  #inLine = 0;

  constructor(options: ScrapeOptions) {
    this.#options = options;
  }

  /** Resolves when the answer has ended, one way or another. */
  async answer(response: ServerResponse): Promise<void> {
    if (this.#inLine >= longestLine) {
      return void response
        .writeHead(503, { 'Content-Type': 'text/plain; charset=utf-8', 'Retry-After': '5', ...noStore })
        .end('too many scrapes at once\n');
    }
    this.#inLine += 1;
    const before = this.#turn;
    const { promise, resolve: pass } = Promise.withResolvers<void>();
    this.#turn = promise;
    try {
      await before;
      if (!response.destroyed) await this.#stream(response);
    } finally {
      this.#inLine -= 1;
      pass();
    }
  }

  async #stream(response: ServerResponse): Promise<void> {
    const { metrics, log, clock } = this.#options;
    // Of all of it: the end may be in a buffer still when the next one has its turn.
    response.once(
      'close',
      clock.setTimer(() => response.destroy(), scrapeMs),
    );
    try {
      for await (const chunk of this.#chunks()) {
        if (!response.headersSent) response.writeHead(200, { 'Content-Type': metrics.contentType, ...noStore });
        if (!response.write(chunk)) await this.#taken(response);
        if (response.destroyed) return;
        // Reconciles and probes get their turn.
        await setImmediate();
      }
      response.end();
    } catch (error) {
      log.error({ error }, 'cannot compute the metrics');
      if (response.headersSent) response.destroy();
      else response.writeHead(500, noStore).end('the metrics cannot be computed; the log says why\n');
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
