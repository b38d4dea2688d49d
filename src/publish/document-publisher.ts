import { allFile, buildDocuments, namespaceFile, registrationFile } from '../domain/jwks-document.ts';
import type { Collision } from '../domain/jwks-document.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { DocumentDirectory } from './document-directory.ts';
import { PublishedKeys } from './published-keys.ts';
import type { LtiKeyFacts } from './published-keys.ts';

/** A change is written once nothing else changed for this long … */
const quietMs = 20;
/** … and no later than this, however busy it is. */
const patienceMs = 250;
/** How often the heartbeat is written. */
export const heartbeatMs = 5000;
const heartbeatFile = 'sync.json';
const syncPollMs = 50;
const firstRetryMs = 250;
const longestRetryMs = 10_000;

/** Where the publisher learns what to publish: watches of LtiKeys, with their cache. */
export interface KeySource {
  /** Every LtiKey of the trust domain. */
  list(): readonly LtiKeyFacts[];
  /** The cache was filled once and its watches are connected now. */
  isSynced(): boolean;
  /**
   * A live answer of the API server that no LtiKey of this name shows this key: there is none, or it shows another key. A
   * missing resource type is not that.
   */
  confirmGone(namespace: string, name: string, keyID: string): Promise<boolean>;
}

export interface PublisherOptions {
  readonly directory: string;
  /** Whether the trust domain has a document of its own. */
  readonly all: boolean;
  readonly source: KeySource;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps the publish directory equal to the LtiKeys: the documents that changed, and a heartbeat while that is known to be
 * so. Until the first sync, and while anything fails, what an earlier life wrote stays.
 */
export class DocumentPublisher {
  readonly #source: KeySource;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #all: boolean;
  readonly #directory: DocumentDirectory;
  readonly #keys: PublishedKeys;
  readonly #said = new Set<string>();
  #dirty = new Set<string>();
  #complete = false;
  #failures = 0;
  #firstChange = 0;
  #flushAt = Number.POSITIVE_INFINITY;
  #heartbeatAt = Number.POSITIVE_INFINITY;
  #settling = false;
  #lastSync: Date | undefined;
  #wake = (): void => undefined;

  constructor({ directory, all, source, clock, log }: PublisherOptions) {
    this.#source = source;
    this.#clock = clock;
    this.#log = log;
    this.#all = all;
    this.#directory = new DocumentDirectory(directory);
    this.#keys = new PublishedKeys(({ metadata }, fault) =>
      this.#warnOnce(`${metadata.namespace}/${metadata.name}: ${fault}`, () =>
        log.warn({ namespace: metadata.namespace, name: metadata.name, reason: fault }, 'LtiKey is not published'),
      ),
    );
  }

  /** Something about the LtiKeys of this registration changed. */
  changed(namespace: string, registration: string): void {
    this.#dirty.add(registrationFile(namespace, registration)).add(namespaceFile(namespace));
    if (this.#all) this.#dirty.add(allFile);
    if (!this.#complete || this.#failures > 0) return;
    const now = this.#clock.monotonic();
    if (this.#flushAt === Number.POSITIVE_INFINITY) {
      this.#firstChange = now;
      this.#flushAt = now + quietMs;
      this.#wake();
    } else this.#flushAt = Math.min(now + quietMs, this.#firstChange + patienceMs);
  }

  /** How many documents the publish directory holds. */
  documents(): number {
    return this.#directory.size;
  }

  /** When the newest heartbeat was written. */
  lastSync(): Date | undefined {
    return this.#lastSync;
  }

  /** Publishes until `signal` aborts. The directory is left as it is then. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#wake();
    signal.addEventListener('abort', stop);
    while (!this.#source.isSynced() && !signal.aborted) await this.#pause(syncPollMs, signal);
    this.#flushAt = this.#clock.monotonic();
    while (!signal.aborted) {
      if (this.#flushAt <= this.#clock.monotonic()) await this.#flush();
      if (this.#heartbeatAt <= this.#clock.monotonic()) await this.#beat();
      const expiry = this.#settling ? Number.POSITIVE_INFINITY : this.#keys.nextExpiry();
      if (expiry <= this.#clock.monotonic()) void this.#settle();
      else {
        const next = Math.min(this.#flushAt, this.#heartbeatAt, expiry);
        await this.#pause(next - this.#clock.monotonic(), signal);
      }
    }
    signal.removeEventListener('abort', stop);
  }

  #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted || milliseconds <= 0) return resolve();
      const cancel = this.#clock.setTimer(resolve, milliseconds);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  async #flush(): Promise<void> {
    const dirty = this.#dirty;
    const everything = !this.#complete;
    this.#dirty = new Set();
    this.#flushAt = Number.POSITIVE_INFINITY;
    const keys = this.#keys.update(this.#source.list(), this.#clock.monotonic());
    const only = everything ? undefined : (file: string): boolean => dirty.has(file);
    const { documents, collisions } = buildDocuments(keys, { all: this.#all, ...(only && { only }) });
    for (const collision of collisions) this.#reportCollision(collision);

    let failure: unknown;
    const attempt = async (file: string, work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        // No retry makes a name shorter, and one registration must not keep the others from their heartbeat.
        if (error instanceof Error && 'code' in error && error.code === 'ENAMETOOLONG') {
          return this.#warnOnce(file, () => this.#log.error({ file, error }, 'cannot publish'));
        }
        failure = error;
        this.#dirty.add(file);
      }
    };
    if (everything) await attempt(heartbeatFile, () => this.#directory.create());
    for (const file of everything ? documents.keys() : dirty) {
      const document = documents.get(file);
      await attempt(file, () =>
        document ? this.#directory.write(file, JSON.stringify(document)) : this.#directory.remove(file),
      );
    }
    if (everything && failure === undefined) {
      await attempt(heartbeatFile, () => this.#directory.removeOthers(new Set(documents.keys())));
    }
    if (failure !== undefined) return this.#retry(failure);
    this.#failures = 0;
    if (everything) this.#heartbeatAt = this.#clock.monotonic();
    this.#complete = true;
    // What changed while the files were written was not scheduled if this is the first success.
    if (this.#dirty.size > 0 && this.#flushAt === Number.POSITIVE_INFINITY) this.#flushAt = this.#clock.monotonic();
  }

  #retry(error: unknown): void {
    const waitMs = Math.min(firstRetryMs * 2 ** this.#failures, longestRetryMs);
    this.#failures += 1;
    this.#flushAt = this.#clock.monotonic() + waitMs;
    this.#log.error(
      { error, waitMs, attempt: this.#failures },
      'cannot write the publish directory, keeping what is there',
    );
  }

  /** The heartbeat says that the directory is what the API server has; without a connection or a write it stays away. */
  async #beat(): Promise<void> {
    this.#heartbeatAt = this.#clock.monotonic() + heartbeatMs;
    if (!this.#source.isSynced() || this.#failures > 0) return;
    try {
      const now = this.#clock.now();
      await this.#directory.replace(heartbeatFile, JSON.stringify({ syncedAt: now.toISOString() }));
      this.#lastSync = now;
    } catch (error) {
      this.#log.error({ error, file: heartbeatFile }, 'cannot write the heartbeat');
    }
  }

  /** Gives up the keys whose grace period is over and whose LtiKey is really gone; the others get another one. */
  async #settle(): Promise<void> {
    this.#settling = true;
    for (const departed of this.#keys.expired(this.#clock.monotonic())) {
      const { namespace, name, keyID, registration, cleared } = departed;
      const gone = cleared || (await this.#source.confirmGone(namespace, name, keyID).catch(() => false));
      if (gone) {
        this.#keys.forget(departed);
        this.#log.info({ namespace, name }, 'LtiKey is gone, its key leaves the documents');
        this.changed(namespace, registration);
      } else this.#keys.keep(departed, this.#clock.monotonic());
    }
    this.#settling = false;
    this.#wake();
  }

  #reportCollision({ file, keyID, listed, omitted, sameKey }: Collision): void {
    this.#warnOnce(`${file} ${keyID} ${omitted.namespace}/${omitted.registration}/${omitted.revision}`, () =>
      this.#log.warn(
        {
          file,
          kid: keyID,
          namespace: omitted.namespace,
          registration: omitted.registration,
          revision: omitted.revision,
          reason: sameKey
            ? `is the same key as in ${listed.namespace}/${listed.registration}`
            : `another key of ${listed.namespace}/${listed.registration} has this key ID`,
        },
        'key is left out of a document',
      ),
    );
  }

  #warnOnce(what: string, warn: () => void): void {
    if (this.#said.has(what)) return;
    this.#said.add(what);
    warn();
  }
}
