import { formatHeartbeat, heartbeatFile } from '../domain/heartbeat.ts';
import { DocumentSet } from '../domain/jwks-document-set.ts';
import { isAggregate } from '../domain/jwks-document.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { Complaints } from './complaints.ts';
import { DocumentDirectory } from './document-directory.ts';
import type { KeySource } from './key-source.ts';
import { absenceGraceMs, PublishedKeys } from './published-keys.ts';
import type { LtiKeyFacts } from './published-keys.ts';

/** A change is written once nothing else changed for this long … */
const quietMs = 20;
/** … and no later than this, however busy it is. */
const patienceMs = 250;
/** How often the heartbeat is written. */
export const heartbeatMs = 5000;
/** Aggregates rest this many times as long as writing them took: with 30,000 keys, a second or two. */
const aggregateRest = 20;
/** What the operator may need beyond a grace period to put an LtiKey back once it can again: it tries at least every minute. */
const returnMs = 45_000;
const syncPollMs = 50;
const firstRetryMs = 250;
const longestRetryMs = 10_000;

export interface PublisherOptions {
  readonly directory: string;
  /** Whether the trust domain has a document of its own. */
  readonly all: boolean;
  readonly source: KeySource;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told when a changed document of a registration, and every document it is part of, has been written. */
  readonly published?: (namespace: string, registration: string) => void;
}

/**
 * Keeps the publish directory equal to the LtiKeys: the documents that changed, and a heartbeat while that is known to be
 * so. Until the first sync, and while anything fails, what an earlier life wrote stays; what is left of it without an
 * LtiKey is removed two grace periods later.
 */
export class DocumentPublisher {
  readonly #source: KeySource;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #directory: DocumentDirectory;
  readonly #keys: PublishedKeys;
  readonly #documents: DocumentSet;
  readonly #complaints: Complaints;
  /** Registrations that changed, by `namespace/name`. */
  #changed = new Map<string, readonly [namespace: string, registration: string]>();
  /** Files that may not hold what they should. */
  #stale = new Set<string>();
  /** Registrations whose documents changed and are not all written yet. */
  #unannounced = new Map<string, readonly [namespace: string, registration: string]>();
  readonly #published: PublisherOptions['published'];
  #aggregatesAt = Number.NEGATIVE_INFINITY;
  #complete = false;
  #failures = 0;
  #failedBeats = 0;
  #firstChange = 0;
  #flushAt = Number.POSITIVE_INFINITY;
  #heartbeatAt = Number.POSITIVE_INFINITY;
  /** When what an earlier life left and nothing explains by then is removed: lost LtiKeys have come back before. */
  #removalAt = Number.POSITIVE_INFINITY;
  #settling = false;
  #lastSync: Date | undefined;
  #wake = (): void => undefined;

  constructor({ directory, all, source, clock, log, published }: PublisherOptions) {
    this.#published = published;
    this.#source = source;
    this.#clock = clock;
    this.#log = log;
    this.#documents = new DocumentSet({ all });
    this.#directory = new DocumentDirectory(directory);
    this.#complaints = new Complaints(log);
    this.#keys = new PublishedKeys((object, fault) => this.#complaints.refusedKey(object, fault));
  }

  /** Something about the LtiKeys of this registration changed. */
  changed(namespace: string, registration: string): void {
    this.#changed.set(`${namespace}/${registration}`, [namespace, registration]);
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

  /** Attempts in a row that could not write the publish directory, the heartbeat's included. */
  failures(): number {
    return this.#failures + this.#failedBeats;
  }

  /** Publishes until `signal` aborts. The directory is left as it is then. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#wake();
    signal.addEventListener('abort', stop);
    while (!this.#source.isSynced() && !signal.aborted) await this.#pause(syncPollMs, signal);
    this.#flushAt = this.#clock.monotonic();
    while (!signal.aborted) {
      if (this.#dueAt() <= this.#clock.monotonic()) await this.#flush();
      if (this.#heartbeatAt <= this.#clock.monotonic()) await this.#beat();
      if (this.#removalAt <= this.#clock.monotonic()) await this.#removeOthers();
      const expiry = this.#settling ? Number.POSITIVE_INFINITY : this.#keys.nextExpiry();
      if (expiry <= this.#clock.monotonic()) void this.#settle();
      else {
        const next = Math.min(this.#dueAt(), this.#heartbeatAt, this.#removalAt, expiry);
        await this.#pause(next - this.#clock.monotonic(), signal);
      }
    }
    signal.removeEventListener('abort', stop);
  }

  /** Monotonic milliseconds at which something is to be written, the heartbeat aside. */
  #dueAt(): number {
    return this.#resting() ? Math.min(this.#flushAt, this.#aggregatesAt) : this.#flushAt;
  }

  /** Whether an aggregate that is not as it should be waits for its time. */
  #resting(): boolean {
    return this.#complete && this.#failures === 0 && this.#stale.size > 0;
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
    this.#flushAt = Number.POSITIVE_INFINITY;
    const everything = !this.#complete;
    let failure: unknown;
    const attempt = async (file: string, work: () => Promise<void>): Promise<void> => {
      try {
        await work();
        this.#stale.delete(file);
      } catch (error) {
        // No retry makes a name shorter, and one registration must not keep the others from their heartbeat.
        if (!(error instanceof Error && 'code' in error && error.code === 'ENAMETOOLONG')) failure = error;
        else {
          this.#stale.delete(file);
          this.#complaints.unwritableFile(file, error);
        }
      }
    };
    this.#takeChanges(everything);
    if (everything) await attempt(heartbeatFile, () => this.#directory.create());
    for (const file of [...this.#stale].filter((name) => !isAggregate(name))) {
      await attempt(file, () => this.#write(file));
    }
    const began = this.#clock.monotonic();
    if (everything || this.#aggregatesAt <= began) {
      for (const file of this.#stale) if (isAggregate(file)) await attempt(file, () => this.#write(file));
      const now = this.#clock.monotonic();
      this.#aggregatesAt = now + aggregateRest * (now - began);
    }
    if (failure !== undefined) return this.#retry(failure);
    this.#failures = 0;
    if (everything) {
      this.#heartbeatAt = this.#clock.monotonic();
      // By then whatever was held back for the grace period is written, too.
      this.#removalAt = this.#clock.monotonic() + 2 * absenceGraceMs;
    }
    this.#complete = true;
    this.#announce();
    // What changed while the files were written was not scheduled if this is the first success.
    if (this.#changed.size > 0) this.#flushAt = Math.min(this.#flushAt, this.#clock.monotonic());
  }

  /** From LtiKeys to documents: of the registrations that changed, or of all there are. */
  #takeChanges(everything: boolean): void {
    const changed = this.#changed;
    this.#changed = new Map();
    const now = this.#clock.monotonic();
    const take = (namespace: string, registration: string, objects: readonly LtiKeyFacts[]): void => {
      const keys = this.#keys.update(namespace, registration, objects, now);
      if (keys === undefined) return;
      const files = this.#documents.set(namespace, registration, keys);
      for (const file of files) this.#stale.add(file);
      if (files.length > 0) this.#unannounced.set(`${namespace}/${registration}`, [namespace, registration]);
    };
    if (everything) {
      const byRegistration = Map.groupBy(this.#source.list(), placeOf);
      for (const [place, objects] of byRegistration) {
        changed.delete(place);
        const [namespace = '', registration = ''] = place.split('/');
        take(namespace, registration, objects);
      }
    }
    for (const [namespace, registration] of changed.values()) {
      take(namespace, registration, this.#source.listOf(namespace, registration));
    }
    if (everything) this.#stale = new Set(this.#documents.files());
  }

  #announce(): void {
    if (this.#stale.size > 0) return;
    const written = this.#unannounced;
    this.#unannounced = new Map();
    for (const [namespace, registration] of written.values()) this.#published?.(namespace, registration);
  }

  async #write(file: string): Promise<void> {
    const text = this.#documents.text(file);
    if (text === undefined) return this.#directory.remove(file);
    for (const collision of text.collisions) this.#complaints.collision(collision);
    await this.#directory.write(file, text.pieces);
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

  async #removeOthers(): Promise<void> {
    this.#removalAt = Number.POSITIVE_INFINITY;
    try {
      await this.#directory.removeOthers(new Set(this.#documents.files()));
    } catch (error) {
      this.#removalAt = this.#clock.monotonic() + longestRetryMs;
      this.#log.error({ error, waitMs: longestRetryMs }, 'cannot remove documents of an earlier life');
    }
  }

  /** The heartbeat says that the directory is what the API server has; without a connection or a write it stays away, and an aggregate that rests it awaits. */
  async #beat(): Promise<void> {
    const resting = this.#resting();
    this.#heartbeatAt = resting ? this.#aggregatesAt : this.#clock.monotonic() + heartbeatMs;
    if (resting || !this.#source.isSynced() || this.#failures > 0) return;
    try {
      const now = this.#clock.now();
      await this.#directory.replace(heartbeatFile, [formatHeartbeat({ syncedAt: now.toISOString(), unread: [] })]);
      this.#lastSync = now;
      this.#failedBeats = 0;
    } catch (error) {
      this.#failedBeats += 1;
      this.#log.error({ error, file: heartbeatFile }, 'cannot write the heartbeat');
    }
  }

  /** Gives up the keys whose grace period is over and whose LtiKey is really gone; the others get another one. */
  async #settle(): Promise<void> {
    this.#settling = true;
    for (const { namespace, registration } of this.#keys.overdue(this.#clock.monotonic())) {
      this.changed(namespace, registration);
    }
    for (const departed of this.#keys.expired(this.#clock.monotonic())) {
      const { namespace, name, keyID, registration, cleared, doubted } = departed;
      const gone = cleared || (await this.#source.confirmGone(namespace, name, keyID).catch(() => undefined));
      if (gone && doubted) this.#keys.keep(departed, this.#clock.monotonic() + returnMs, false);
      else if (gone) {
        this.#keys.forget(departed);
        this.#log.info({ namespace, name }, 'LtiKey is gone, its key leaves the documents');
        this.changed(namespace, registration);
      } else this.#keys.keep(departed, this.#clock.monotonic(), gone === undefined);
    }
    this.#settling = false;
    this.#wake();
  }
}

function placeOf({ metadata, spec }: LtiKeyFacts): string {
  return `${metadata.namespace}/${spec.registrationRef.name}`;
}
