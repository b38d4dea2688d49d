import { formatHeartbeat } from '../documents/heartbeat.ts';
import { DocumentSet } from '../documents/document-set.ts';
import { allFile, isAggregate } from '../documents/key-set.ts';
import { Alarm } from '../lib/alarm.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { WarnOnce } from './warn-once.ts';
import { settleDepartures } from './departures.ts';
import { DocumentDirectory, FileNameError } from './document-directory.ts';
import { EarlierLife } from './earlier-life.ts';
import type { KeySource } from './key-source.ts';
import { type LtiKeyFacts, PublishedKeys, absenceGraceMs } from './published-keys.ts';

/** A change is written once nothing else changed for this long … */
const quietMs = 20;
/** … and no later than this, however busy it is. */
const patienceMs = 250;
/** How often the heartbeat is written. */
export const heartbeatMs = 5000;
/** Aggregates rest this many times as long as writing them took: with 30,000 keys, a second or two. */
const aggregateRest = 20;
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
 *
 * Namespaces are independent: one that cannot be read (any more) keeps its documents as they are, and the others go on. The
 * document of all namespaces is only written once every namespace has been read, because it would lack keys before.
 */
export class DocumentPublisher {
  readonly #source: KeySource;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #directory: DocumentDirectory;
  readonly #keys: PublishedKeys;
  readonly #earlier: EarlierLife;
  readonly #documents: DocumentSet;
  readonly #all: boolean;
  readonly #complaints: WarnOnce;
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
  /** Namespaces that had not been read when the documents were written last. */
  #unread: readonly string[] = [];
  #lastSync: Date | undefined;
  readonly #alarm: Alarm;

  constructor({ directory, all, source, clock, log, published }: PublisherOptions) {
    this.#published = published;
    this.#source = source;
    this.#clock = clock;
    this.#alarm = new Alarm(clock);
    this.#log = log;
    this.#all = all;
    this.#documents = new DocumentSet({ all });
    this.#directory = new DocumentDirectory(directory);
    this.#earlier = new EarlierLife(this.#directory, source);
    this.#complaints = new WarnOnce(log);
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
      this.#alarm.ring();
    } else this.#flushAt = Math.min(now + quietMs, this.#firstChange + patienceMs);
  }

  /** The LtiKeys of one more namespace have been read. */
  namespaceRead(): void {
    this.#flushSoon();
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
    while (!this.#source.isUsable() && !signal.aborted) await this.#alarm.wait(syncPollMs, signal);
    this.#flushAt = this.#clock.monotonic();
    while (!signal.aborted) {
      if (this.#dueAt() <= this.#clock.monotonic()) await this.#flush();
      if (this.#heartbeatAt <= this.#clock.monotonic()) await this.#beat();
      if (this.#removalAt <= this.#clock.monotonic()) void this.#sweep();
      const now = this.#clock.monotonic();
      for (const { namespace, registration } of this.#keys.overdue(now)) this.changed(namespace, registration);
      const expiry = this.#settling ? Number.POSITIVE_INFINITY : this.#keys.nextExpiry();
      if (expiry <= now) void this.#settleDepartures();
      else {
        const next = Math.min(this.#dueAt(), this.#heartbeatAt, this.#removalAt, this.#keys.nextOverdue(), expiry);
        await this.#alarm.wait(next - this.#clock.monotonic(), signal);
      }
    }
  }

  /** Monotonic milliseconds at which something is to be written, the heartbeat aside. */
  #dueAt(): number {
    return this.#resting() ? Math.min(this.#flushAt, this.#aggregatesAt) : this.#flushAt;
  }

  /** Whether an aggregate that is not as it should be waits for its time. */
  #resting(): boolean {
    return this.#complete && this.#failures === 0 && this.#stale.size > 0;
  }

  #flushSoon(): void {
    if (!this.#complete || this.#failures > 0) return;
    this.#flushAt = Math.min(this.#flushAt, this.#clock.monotonic());
    this.#alarm.ring();
  }

  async #flush(): Promise<void> {
    this.#flushAt = Number.POSITIVE_INFINITY;
    const everything = !this.#complete;
    let failure: unknown;
    let failed = 0;
    const attempt = async (work: () => Promise<void>, file?: string): Promise<void> => {
      try {
        await work();
        if (file !== undefined) this.#stale.delete(file);
      } catch (error) {
        // No retry makes it a name, and one registration must not keep the others from their heartbeat.
        if (file !== undefined && error instanceof FileNameError) {
          this.#stale.delete(file);
          this.#complaints.unwritableFile(file, error);
        } else {
          failure ??= error;
          failed += 1;
        }
      }
    };
    const unread = this.#source.unread();
    this.#takeChanges(everything, unread);
    if (everything) await attempt(() => this.#directory.prepare());
    for (const file of [...this.#stale].filter((name) => !isAggregate(name))) {
      await attempt(() => this.#write(file), file);
    }
    const began = this.#clock.monotonic();
    if (everything || this.#aggregatesAt <= began) {
      for (const file of this.#stale) if (isAggregate(file)) await attempt(() => this.#write(file), file);
      const now = this.#clock.monotonic();
      this.#aggregatesAt = now + aggregateRest * (now - began);
    }
    if (unread.length > 0) await attempt(() => this.#earlier.withdraw());
    if (failure !== undefined) {
      this.#flushAt = this.#clock.monotonic() + Math.min(firstRetryMs * 2 ** this.#failures, longestRetryMs);
      this.#failures += 1;
      return this.#complaints.unusable(failure, failed);
    }
    this.#failures = 0;
    this.#unread = unread;
    if (everything) {
      this.#heartbeatAt = this.#clock.monotonic();
      // By then whatever was held back for the grace period is written, too.
      this.#removalAt = this.#clock.monotonic() + 2 * absenceGraceMs;
    }
    this.#complete = true;
    this.#announce();
    // What changed, or was read, while the files were written was not scheduled if this is the first success.
    if (this.#changed.size > 0 || this.#source.unread().length < unread.length)
      this.#flushAt = Math.min(this.#flushAt, this.#clock.monotonic());
  }

  /** From LtiKeys to documents: of the registrations that changed, or of all there are. */
  #takeChanges(everything: boolean, unread: readonly string[]): void {
    const changed = this.#changed;
    this.#changed = new Map();
    const now = this.#clock.monotonic();
    const take = (namespace: string, registration: string, objects: readonly LtiKeyFacts[]): void => {
      const keys = this.#keys.update(namespace, registration, objects, now);
      if (keys === undefined) return;
      if (unread.length > 0) this.#earlier.revoked(keys);
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
    // An earlier life's document of all namespaces stays until all were read, unless a key of it is revoked.
    if (unread.length > 0) this.#stale.delete(allFile);
    else if (this.#all && this.#unread.length > 0) this.#stale.add(allFile);
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

  async #settleDepartures(): Promise<void> {
    this.#settling = true;
    const changed = this.changed.bind(this);
    await settleDepartures({ keys: this.#keys, source: this.#source, clock: this.#clock, log: this.#log, changed });
    this.#settling = false;
    this.#alarm.ring();
  }

  /** Has what an earlier life left and nobody claims removed with the next flush. */
  async #sweep(): Promise<void> {
    this.#removalAt = Number.POSITIVE_INFINITY;
    try {
      const claimed = new Set(this.#documents.files());
      const { gone, doubted } = await this.#earlier.unclaimed((file) => claimed.has(file));
      for (const file of gone) this.#stale.add(file);
      if (gone.length > 0) this.#flushSoon();
      if (doubted) this.#removalAt = this.#clock.monotonic() + absenceGraceMs;
    } catch (error) {
      this.#complaints.unusable(error);
      this.#removalAt = this.#clock.monotonic() + absenceGraceMs;
    }
    this.#alarm.ring();
  }

  /** The heartbeat says that the directory is what the API server has; without a connection or a write it stays away, and an aggregate that rests it awaits. */
  async #beat(): Promise<void> {
    const resting = this.#resting();
    this.#heartbeatAt = resting ? this.#aggregatesAt : this.#clock.monotonic() + heartbeatMs;
    if (resting || !this.#source.isConnected() || this.#failures > 0) return;
    try {
      const now = this.#clock.now();
      await this.#directory.writeHeartbeat(formatHeartbeat({ syncedAt: now.toISOString(), unread: this.#unread }));
      this.#lastSync = now;
      this.#failedBeats = 0;
      this.#complaints.usable();
    } catch (error) {
      this.#failedBeats += 1;
      this.#complaints.unusable(error);
    }
  }
}

function placeOf({ metadata, spec }: LtiKeyFacts): string {
  return `${metadata.namespace}/${spec.registrationRef.name}`;
}
