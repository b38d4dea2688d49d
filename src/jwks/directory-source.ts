import { readFileSync, statSync, watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { allKeysPath } from '../api/names.ts';
import { type Heartbeat, heartbeatFile, parseHeartbeat } from '../documents/heartbeat.ts';
import { DocumentError, documentFaults, largestDocumentBytes } from '../documents/document-file.ts';
import { isOfRegistration, servedPath } from '../documents/document-names.ts';
import type { Clock } from '../lib/clock.ts';
import { errorCode } from '../lib/error-code.ts';
import { Schedule } from '../lib/schedule.ts';
import type { Logger } from '../observability/log.ts';
import type { Health } from './health.ts';
import { createServedDocument } from './served-document.ts';
import type { DocumentSource, ServedDocument } from './source.ts';

/** How often the whole directory is compared, because the kernel may drop notifications … */
export const scanMs = 15_000;
/** … and without notifications: three times in the life of a heartbeat. */
const unwatchedScanMs = 5000;
/** Aggregates change with every registration, so they are not read again for this many times as long as reading them took … */
const aggregateRest = 20;
/** … but soon enough that a key that left them is not served much longer. */
const longestRestMs = 5000;
/** Why a file was refused. */
export const refusalReasons = [...documentFaults, 'Unreadable'] as const;
export type RefusalReason = (typeof refusalReasons)[number];

export interface DirectorySourceOptions {
  readonly directory: string;
  readonly health: Health;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The documents of the publish directory. If a file is refused, its last good version is still served; if there never was one, or
 * the file has no keys, there is no document. A document whose file disappears is dropped only while the publisher is
 * alive, because only the publisher can decide that a registration is gone.
 */
export class DirectorySource implements DocumentSource {
  readonly #options: DirectorySourceOptions;
  readonly #documents = new Map<string, ServedDocument>();
  /** Path → inode, change time and size of the version that was read last, whether it was good or refused. */
  readonly #versions = new Map<string, string>();
  /** Path → why the current version of its file is refused. */
  readonly #refused = new Map<string, RefusalReason>();
  readonly #changed = new Set<string>();
  /** When everything is compared next, in monotonic milliseconds. */
  #scanAt = Number.NEGATIVE_INFINITY;
  /** When changed aggregates may be read, in monotonic milliseconds. */
  #aggregatesAt = Number.NEGATIVE_INFINITY;
  #watcher: FSWatcher | undefined;
  /** Why the directory or a file in it cannot be read now; logged when it changes. */
  #unreadable: string | undefined;
  readonly #schedule: Schedule;

  constructor(options: DirectorySourceOptions) {
    this.#options = options;
    this.#schedule = new Schedule(options.clock);
  }

  get documents(): ReadonlyMap<string, ServedDocument> {
    return this.#documents;
  }

  /** The reason for each file that is refused now. */
  refusals(): Iterable<RefusalReason> {
    return this.#refused.values();
  }

  synced(): boolean {
    return this.#options.health.synced();
  }

  unread(path: string): boolean {
    // A file without keys is known, unless it is the document of all namespaces, which may lack those that were not read.
    return (path === allKeysPath || !this.#versions.has(path)) && this.#options.health.unread(path);
  }

  /** Follows the directory until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const jobs = [
      { dueAt: () => this.#scanAt, run: () => this.#scan() },
      { dueAt: () => this.#changesAt(), run: () => this.#readChanges() },
    ];
    await this.#schedule.run(jobs, signal);
    this.#watcher?.close();
  }

  #watch(): void {
    if (this.#watcher !== undefined) return;
    try {
      const watcher = watch(this.#options.directory, (_event, file) => {
        this.#changed.add(file ?? heartbeatFile);
        this.#schedule.wake();
      });
      watcher.on('error', (error) => {
        this.#options.log.warn({ error }, 'watch on the publish directory lost, falling back to polling');
        watcher.close();
        this.#watcher = undefined;
      });
      this.#watcher = watcher;
    } catch (error) {
      this.#options.log.warn({ error }, 'cannot watch the publish directory, falling back to polling');
    }
  }

  /** When changed files are read, in monotonic milliseconds. */
  #changesAt(): number {
    if (this.#changed.size === 0) return Number.POSITIVE_INFINITY;
    return [...this.#changed].some(isOfRegistration) ? Number.NEGATIVE_INFINITY : this.#aggregatesAt;
  }

  async #readChanges(): Promise<void> {
    const all = this.#aggregatesAt <= this.#options.clock.monotonic();
    // The heartbeat waits for the aggregates, because it covers them.
    const files = [...this.#changed].filter((file) => all || isOfRegistration(file));
    for (const file of files) this.#changed.delete(file);
    for (const file of files) await this.#read(file);
    if (!files.includes(heartbeatFile)) return;
    // A publisher that was gone may have changed anything, and notifications may be missing.
    if (this.#options.health.publisherAlive()) this.#options.health.heartbeat(this.#readHeartbeat());
    else this.#scanAt = Number.NEGATIVE_INFINITY;
  }

  /** Compares every file. The heartbeat is read before the files that it covers, and takes effect after they were read. */
  async #scan(): Promise<void> {
    this.#watch();
    await this.#readAll();
    this.#scanAt = this.#options.clock.monotonic() + (this.#watcher === undefined ? unwatchedScanMs : scanMs);
  }

  async #readAll(): Promise<void> {
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
      this.#cannotRead(error, 'cannot read the publish directory, serving the last known documents');
      return undefined;
    }
  }

  /** Logs each cause once, because 10,000 files may have the same one. */
  #cannotRead(error: unknown, message: string, file?: string): void {
    const cause = `${message} ${errorCode(error, String(error))}`;
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

  /** Reads the file if it is a document that changed. Requests are answered between two files. */
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
      // The publish directory is in memory, so a synchronous read does not block.
      const document = createServedDocument(readFileSync(place));
      if (document === undefined) this.#documents.delete(path);
      else this.#documents.set(path, document);
      this.#refused.delete(path);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') this.#vanished(path);
      else this.#refuse(file, path, error);
    }
    if (isOfRegistration(file) || !this.synced()) return;
    const restMs = Math.min(aggregateRest * (performance.now() - began), longestRestMs);
    this.#aggregatesAt = Math.max(this.#aggregatesAt, this.#options.clock.monotonic() + restMs);
  }

  #refuse(file: string, path: string, error: unknown): void {
    const reason = error instanceof DocumentError ? error.reason : 'Unreadable';
    this.#refused.set(path, reason);
    if (reason !== 'Unreadable') {
      this.#options.log.error({ error, file, reason }, 'refused a document, serving the last good version');
      return;
    }
    // Its content may be good: the next scan retries.
    this.#versions.delete(path);
    this.#cannotRead(error, 'cannot read documents, serving the last good versions', file);
  }

  #vanished(path: string): void {
    if (!this.#options.health.publisherAlive()) return;
    this.#documents.delete(path);
    this.#versions.delete(path);
    this.#refused.delete(path);
  }
}
