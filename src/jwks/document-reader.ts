import { closeSync, openSync, readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { DocumentError, largestDocumentBytes, readKeySet } from '../domain/jwks-document-file.ts';
import type { KeySet } from '../domain/jwks-document-file.ts';
import { isAggregate } from '../domain/jwks-document.ts';
import type { Clock } from '../lib/clock.ts';
import { longestString, prepareDocument } from './prepared-document.ts';
import type { PreparedDocument } from './prepared-document.ts';
import type { Turns } from './turns.ts';

/** Aggregates over this many bytes have a gzip form; a registration's own document is sent as it is. */
const gzipAbove = 8192;
/** A modulus does not compress: higher levels than the fastest save nothing. */
const gzipLevel = 1;

export interface DocumentReaderOptions {
  readonly directory: string;
  /** Seconds. */
  readonly maxAge: number;
  readonly clock: Clock;
  readonly turns: Turns;
}

/** From a file of the publish directory to what is answered, without holding up requests meanwhile. */
export class DocumentReader {
  readonly #options: DocumentReaderOptions;
  /** Small files are read into it, one after the other: 10,000 buffers of their own would leave the memory in holes. */
  readonly #small = Buffer.allocUnsafeSlow(longestString);

  constructor(options: DocumentReaderOptions) {
    this.#options = options;
  }

  /** Rejects with a DocumentError for a file that is not to be served, and with Node's error for one it cannot read. */
  async read(file: string, size: number): Promise<PreparedDocument> {
    if (size > largestDocumentBytes) throw new DocumentError('TooLarge', 'the file is too large');
    const place = join(this.#options.directory, file);
    const bytes = this.#readSmall(place, size) ?? (await readFile(place));
    const keySet = await this.#options.turns.through(readKeySet(bytes));
    const large = isAggregate(file) && !keySet.empty && keySet.body.length > gzipAbove;
    return this.#prepare(keySet, large ? await promisify(gzip)(keySet.body, { level: gzipLevel }) : undefined);
  }

  /** Without handing the work to another thread, which takes longer than reading from memory; `undefined`: not small. */
  #readSmall(place: string, size: number): Buffer | undefined {
    if (size >= this.#small.length) return undefined;
    const file = openSync(place, 'r');
    try {
      const length = readSync(file, this.#small, 0, this.#small.length, null);
      // Another file of that name may have come since its size was asked for.
      return length < this.#small.length ? this.#small.subarray(0, length) : undefined;
    } finally {
      closeSync(file);
    }
  }

  /** A document that is known, but has nothing to serve. */
  empty(): Promise<PreparedDocument> {
    return this.#prepare({ body: Buffer.alloc(0), empty: true });
  }

  #prepare(keySet: KeySet, gzipped?: Buffer): Promise<PreparedDocument> {
    const { maxAge, clock, turns } = this.#options;
    return turns.through(prepareDocument(keySet, { maxAge, now: clock.now(), ...(gzipped && { gzipped }) }));
  }
}
