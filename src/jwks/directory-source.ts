import { statSync, watch } from 'node:fs';
import type { FSWatcher, Stats } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DocumentError, documentFaults } from '../domain/jwks-document-file.ts';
import { type Heartbeat, heartbeatFile, parseHeartbeat } from '../domain/heartbeat.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { DocumentReader } from './document-reader.ts';
import type { Health } from './health.ts';
import type { PreparedDocument } from './prepared-document.ts';
import { servedPath } from './served-path.ts';
import type { DocumentSource } from './source.ts';
import { Turns } from './turns.ts';

/** How often everything is compared, in case some of the kernel's notifications were lost … */
export const scanMs = 15_000;
/** … or cannot be had: three times in the life of a heartbeat. */
const unwatchedScanMs = 5000;
/** Why a file was not taken over. */
export const refusalReasons = [...documentFaults, 'Unreadable'] as const;
export type RefusalReason = (typeof refusalReasons)[number];

export interface DirectorySourceOptions {
  readonly directory: string;
  /** Seconds. */
  readonly maxAge: number;
  readonly health: Health;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The documents of the publish directory. A file that cannot be taken over leaves the last good one in place; one that
 * was never good is served as 503. A file that disappears takes its document with it only while the publisher is alive,
 * for nobody else knows that a registration is gone.
 */
export class DirectorySource implements DocumentSource {
  readonly #options: DirectorySourceOptions;
  readonly #documents = new Map<string, PreparedDocument>();
  /** Path → inode, change time and size of the version that was read last, good or not. */
  readonly #versions = new Map<string, string>();
  /** Path → why its file, as it is now, was not taken over. */
  readonly #refused = new Map<string, RefusalReason>();
  readonly #changed = new Set<string>();
  readonly #turns = new Turns();
  readonly #reader: DocumentReader;
  #watcher: FSWatcher | undefined;
  #readable = true;
  #wake = (): void => undefined;

  constructor(options: DirectorySourceOptions) {
    this.#options = options;
    this.#reader = new DocumentReader({ ...options, turns: this.#turns });
  }

  get documents(): ReadonlyMap<string, PreparedDocument> {
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
    return this.#options.health.unread(path);
  }

  /** Follows the directory until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#wake();
    signal.addEventListener('abort', stop);
    while (!signal.aborted) {
      this.#watch();
      await this.#scan();
      await this.#follow(signal);
    }
    signal.removeEventListener('abort', stop);
    this.#watcher?.close();
  }

  #watch(): void {
    if (this.#watcher !== undefined) return;
    try {
      const watcher = watch(this.#options.directory, (_event, file) => {
        this.#changed.add(file ?? heartbeatFile);
        this.#wake();
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
      if (this.#changed.size === 0) await this.#pause(left);
      const files = [...this.#changed];
      this.#changed.clear();
      for (const file of files) await this.#read(file);
      if (!files.includes(heartbeatFile)) continue;
      // A publisher that was away may have changed anything.
      if (!this.#options.health.publisherAlive()) return;
      this.#options.health.heartbeat(await this.#readHeartbeat());
    }
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.setTimer(resolve, milliseconds);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  /** The heartbeat is read before the files it vouches for, and believed after they were taken over. */
  async #scan(): Promise<void> {
    const heartbeat = await this.#readHeartbeat();
    const files = await this.#list();
    if (files === undefined) return;
    for (const file of files) await this.#read(file);
    this.#options.health.heartbeat(heartbeat);
    const present = new Set(files.map(servedPath));
    for (const path of this.#versions.keys()) if (!present.has(path)) this.#vanished(path);
  }

  async #list(): Promise<readonly string[] | undefined> {
    try {
      const files = await readdir(this.#options.directory);
      this.#readable = true;
      return files;
    } catch (error) {
      if (this.#readable) this.#options.log.warn({ error }, 'cannot read the publish directory, serving what is known');
      this.#readable = false;
      return undefined;
    }
  }

  async #readHeartbeat(): Promise<Heartbeat | undefined> {
    try {
      return parseHeartbeat(await readFile(join(this.#options.directory, heartbeatFile), 'utf8'));
    } catch {
      return undefined;
    }
  }

  /** Takes the file over, if it is a document and another one than it was. */
  async #read(file: string): Promise<void> {
    await this.#turns.next();
    const path = servedPath(file);
    if (path === undefined) return;
    try {
      const stats = statSync(join(this.#options.directory, file), { throwIfNoEntry: false });
      if (stats === undefined) this.#vanished(path);
      else if (this.#isNew(path, stats)) {
        this.#documents.set(path, await this.#reader.read(file, stats.size));
        this.#refused.delete(path);
      }
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') this.#vanished(path);
      else await this.#refuse(file, path, error);
    }
  }

  #isNew(path: string, { ino, ctimeMs, size }: Stats): boolean {
    const version = [ino, ctimeMs, size].join(' ');
    const known = this.#documents.get(path);
    const current = known !== undefined && known.staleAt > this.#options.clock.now().getTime();
    if (current && this.#versions.get(path) === version) return false;
    this.#versions.set(path, version);
    return true;
  }

  async #refuse(file: string, path: string, error: unknown): Promise<void> {
    const { log } = this.#options;
    const reason = error instanceof DocumentError ? error.reason : 'Unreadable';
    // Its content may be good: the next scan tries again.
    if (reason === 'Unreadable') this.#versions.delete(path);
    this.#refused.set(path, reason);
    log.error({ error, file, reason }, 'refused a document, keeping the last good one');
    if (!this.#documents.has(path)) this.#documents.set(path, await this.#reader.empty());
  }

  #vanished(path: string): void {
    if (!this.#options.health.publisherAlive()) return;
    this.#documents.delete(path);
    this.#versions.delete(path);
    this.#refused.delete(path);
  }
}
