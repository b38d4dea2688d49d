import { readFileSync, statSync, watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { allKeysPath } from '../api/names.ts';
import { type Heartbeat, heartbeatFile, parseHeartbeat } from '../documents/heartbeat.ts';
import { DocumentError, documentFaults, largestDocumentBytes } from '../documents/document-file.ts';
import { isAggregate } from '../documents/key-set.ts';
import { Alarm } from '../lib/alarm.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { readDocument } from './document.ts';
import type { Health } from './health.ts';
import { servedPath } from '../documents/served-path.ts';
import type { DocumentSource, ServedDocument } from './source.ts';

/** How often everything is compared, in case some of the kernel's notifications were lost … */
export const scanMs = 15_000;
/** … or cannot be had: three times in the life of a heartbeat. */
const unwatchedScanMs = 5000;
/** Aggregates rest this many times as long as reading them took: each change of a registration makes others of them … */
const aggregateRest = 20;
/** … but so that what left them is not served much longer. */
const longestRestMs = 5000;
/** Why a file was not taken over. */
export const refusalReasons = [...documentFaults, 'Unreadable'] as const;
export type RefusalReason = (typeof refusalReasons)[number];

export interface DirectorySourceOptions {
  readonly directory: string;
  readonly health: Health;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The documents of the publish directory. A file that cannot be taken over leaves the last good one in place; where there
 * never was one, or a file has no keys, there is no document. A file that disappears takes its document with it only while
 * the publisher is alive, because nobody else knows that a registration is gone.
 */
export class DirectorySource implements DocumentSource {
  readonly #options: DirectorySourceOptions;
  readonly #documents = new Map<string, ServedDocument>();
  /** Path → inode, change time and size of the version that was read last, good or not. */
  readonly #versions = new Map<string, string>();
  /** Path → why its file, as it is now, was not taken over. */
  readonly #refused = new Map<string, RefusalReason>();
  readonly #changed = new Set<string>();
  /** Monotonic milliseconds from which on aggregates are read again. */
  #aggregatesAt = Number.NEGATIVE_INFINITY;
  #watcher: FSWatcher | undefined;
  /** Why the directory, or a file of it, cannot be read now; it is logged when it changes. */
  #unreadable: string | undefined;
  readonly #alarm: Alarm;

  constructor(options: DirectorySourceOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock);
  }

  get documents(): ReadonlyMap<string, ServedDocument> {
    return this.#documents;
  }

  /** The reason of each file that is refused now. */
  refusals(): Iterable<RefusalReason> {
    return this.#refused.values();
  }

  synced(): boolean {
    return this.#options.health.synced();
  }

  unread(path: string): boolean {
    // A file without keys is a document that is known; only that of all namespaces may lack those of one.
    return (path === allKeysPath || !this.#versions.has(path)) && this.#options.health.unread(path);
  }

  /** Follows the directory until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#watch();
      await this.#scan();
      await this.#follow(signal);
    }
    this.#watcher?.close();
  }

  #watch(): void {
    if (this.#watcher !== undefined) return;
    try {
      const watcher = watch(this.#options.directory, (_event, file) => {
        this.#changed.add(file ?? heartbeatFile);
        this.#alarm.ring();
      });
      watcher.on('error', (error) => {
        this.#options.log.warn({ error }, 'lost the watch of the publish directory, reading it from time to time');
        watcher.close();
        this.#watcher = undefined;
      });
      this.#watcher = watcher;
    } catch (error) {
      this.#options.log.warn({ error }, 'cannot watch the publish directory, reading it from time to time');
    }
  }

  /** Reads the files that are said to have changed, until it is time for the next scan or a heartbeat asks for one. */
  async #follow(signal: AbortSignal): Promise<void> {
    const until = this.#options.clock.monotonic() + (this.#watcher === undefined ? unwatchedScanMs : scanMs);
    for (;;) {
      const left = until - this.#options.clock.monotonic();
      if (signal.aborted || left <= 0) return;
      const rests = Math.max(0, this.#aggregatesAt - this.#options.clock.monotonic());
      // The heartbeat waits with the aggregates that it vouches for.
      const files = [...this.#changed].filter((file) => rests === 0 || !isAggregate(file));
      if (files.length === 0) await this.#alarm.wait(this.#changed.size === 0 ? left : Math.min(left, rests), signal);
      for (const file of files) this.#changed.delete(file);
      for (const file of files) await this.#read(file);
      if (!files.includes(heartbeatFile)) continue;
      // A publisher that was away may have changed anything.
      if (!this.#options.health.publisherAlive()) return;
      this.#options.health.heartbeat(this.#readHeartbeat());
    }
  }

  /** The heartbeat is read before the files it vouches for, and believed after they were taken over. */
  async #scan(): Promise<void> {
    const heartbeat = this.#readHeartbeat();
    const files = await this.#list();
    if (files === undefined) return;
    for (const file of files) await this.#read(file);
    if (![...this.#refused.values()].includes('Unreadable')) this.#unreadable = undefined;
    this.#options.health.heartbeat(heartbeat);
    const present = new Set(files.map(servedPath));
    const known = [this.#versions, this.#documents, this.#refused].flatMap((map) => [...map.keys()]);
    for (const path of new Set(known)) if (!present.has(path)) this.#vanished(path);
  }

  async #list(): Promise<readonly string[] | undefined> {
    try {
      return await readdir(this.#options.directory);
    } catch (error) {
      this.#cannotRead(error, 'cannot read the publish directory, serving what is known');
      return undefined;
    }
  }

  /** Logs each cause once: there may be 10,000 files that all have it. */
  #cannotRead(error: unknown, message: string, file?: string): void {
    const cause = `${message} ${error instanceof Error && 'code' in error ? String(error.code) : String(error)}`;
    if (this.#unreadable === cause) return;
    this.#unreadable = cause;
    this.#options.log.error({ error, ...(file !== undefined && { file, reason: 'Unreadable' }) }, message);
  }

  #readHeartbeat(): Heartbeat | undefined {
    try {
      return parseHeartbeat(readFileSync(join(this.#options.directory, heartbeatFile), 'utf8'));
    } catch {
      return undefined;
    }
  }

  /** Takes the file over, if it is a document and another one than it was. Requests are answered between two files. */
  async #read(file: string): Promise<void> {
    await setImmediate();
    const path = servedPath(file);
    if (path === undefined) return;
    const began = performance.now();
    try {
      const place = join(this.#options.directory, file);
      const { ino, ctimeMs, size } = statSync(place);
      const version = [ino, ctimeMs, size].join(' ');
      if (this.#versions.get(path) === version) return;
      this.#versions.set(path, version);
      if (size > largestDocumentBytes) throw new DocumentError('TooLarge', 'the file is too large');
      // The publish directory is in memory: this waits for nobody.
      const document = readDocument(readFileSync(place));
      if (document === undefined) this.#documents.delete(path);
      else this.#documents.set(path, document);
      this.#refused.delete(path);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') this.#vanished(path);
      else this.#refuse(file, path, error);
    }
    if (!isAggregate(file) || !this.synced()) return;
    const restMs = Math.min(aggregateRest * (performance.now() - began), longestRestMs);
    this.#aggregatesAt = Math.max(this.#aggregatesAt, this.#options.clock.monotonic() + restMs);
  }

  #refuse(file: string, path: string, error: unknown): void {
    const reason = error instanceof DocumentError ? error.reason : 'Unreadable';
    this.#refused.set(path, reason);
    if (reason !== 'Unreadable') {
      this.#options.log.error({ error, file, reason }, 'refused a document, keeping the last good one');
      return;
    }
    // Its content may be good: the next scan tries again.
    this.#versions.delete(path);
    this.#cannotRead(error, 'cannot read documents, keeping the last good ones', file);
  }

  #vanished(path: string): void {
    if (!this.#options.health.publisherAlive()) return;
    this.#documents.delete(path);
    this.#versions.delete(path);
    this.#refused.delete(path);
  }
}
