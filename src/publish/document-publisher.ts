import { allFile } from '../documents/document-names.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import { Schedule } from '../lib/schedule.ts';
import type { Logger } from '../observability/log.ts';
import { confirmDepartures } from './departures.ts';
import { DirectoryUpkeep } from './directory-upkeep.ts';
import { DocumentDirectory } from './document-directory.ts';
import { DocumentWriter } from './document-writer.ts';
import { HeartbeatWriter } from './heartbeat-writer.ts';
import type { KeySource } from './key-source.ts';
import { PreviousRun } from './previous-run.ts';
import { type LtiKeyFacts, registrationKey, type RegistrationRef } from './published-key.ts';
import { PublishedKeys } from './published-keys.ts';
import { WarnOnce } from './warn-once.ts';

/** A change is written after nothing else changed for this long … */
const quietMs = 20;
/** … and no later than this. */
const patienceMs = 250;
export const heartbeatMs = 5000;
const syncPollMs = 50;
const firstRetryMs = 250;
const longestRetryMs = 10_000;
const never = Number.POSITIVE_INFINITY;

export interface PublisherOptions {
  readonly directory: string;
  /** Whether there is a document of all namespaces. */
  readonly all: boolean;
  readonly source: KeySource;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called after a changed document of a registration, and every aggregate that lists it, has been written. */
  readonly published?: (namespace: string, registration: string) => void;
}

/**
 * Keeps the publish directory equal to the LtiKeys: it writes the documents that changed, and a heartbeat while the directory is
 * current. Until the first sync, and while a write fails, the documents of the previous run stay. Those that no LtiKey
 * accounts for are removed two grace periods later.
 *
 * Namespaces are independent: if one cannot be read (any more), its documents stay as they are, and the others are updated. The
 * document of all namespaces is only written after every namespace has been read, because it would lack keys before.
 */
export class DocumentPublisher {
  readonly #source: KeySource;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #directory: DocumentDirectory;
  readonly #keys: PublishedKeys;
  readonly #previousRun: PreviousRun;
  readonly #writer: DocumentWriter;
  readonly #upkeep: DirectoryUpkeep;
  readonly #heartbeat: HeartbeatWriter;
  readonly #all: boolean;
  readonly #warnings: WarnOnce;
  readonly #published: PublisherOptions['published'];
  readonly #schedule: Schedule;
  /** Registrations that changed, by `namespace/name`. */
  #changed = new Map<string, RegistrationRef>();
  /** Registrations whose documents changed and are not all written yet. */
  #unannounced = new Map<string, RegistrationRef>();
  /** Whether all documents were written once. */
  #complete = false;
  #failures = 0;
  #firstChange = 0;
  #flushAt = never;
  #heartbeatAt = never;
  #confirming = false;
  /** Namespaces that had not been read at the last successful flush. */
  #unread: readonly string[] = [];

  constructor({ directory, all, source, clock, log, published }: PublisherOptions) {
    this.#published = published;
    this.#source = source;
    this.#clock = clock;
    this.#log = log;
    this.#all = all;
    this.#schedule = new Schedule(clock);
    this.#warnings = new WarnOnce(log);
    this.#directory = new DocumentDirectory(directory);
    this.#writer = new DocumentWriter(all, this.#directory, clock, this.#warnings);
    this.#previousRun = new PreviousRun(this.#directory, source);
    this.#heartbeat = new HeartbeatWriter(this.#directory, clock, this.#warnings);
    this.#upkeep = new DirectoryUpkeep({
      directory: this.#directory,
      writer: this.#writer,
      previousRun: this.#previousRun,
      clock,
      warnings: this.#warnings,
      stale: () => this.#flushSoon(),
      rescheduled: () => this.#schedule.wake(),
    });
    this.#keys = new PublishedKeys((object, fault) => this.#warnings.refusedKey(object, fault));
  }

  /** Reports that LtiKeys of this registration changed. */
  changed(namespace: string, registration: string): void {
    const ref = { namespace, registration };
    this.#changed.set(registrationKey(ref), ref);
    if (!this.#complete || this.#failures > 0) return;
    const now = this.#clock.monotonic();
    if (this.#flushAt === never) {
      this.#firstChange = now;
      this.#flushAt = now + quietMs;
      this.#schedule.wake();
    } else this.#flushAt = Math.min(now + quietMs, this.#firstChange + patienceMs);
  }

  /** Reports that the LtiKeys of one more namespace have been read. */
  namespaceRead(): void {
    this.#flushSoon();
  }

  /** The number of documents in the publish directory. */
  documents(): number {
    return this.#directory.size;
  }

  /** The time of the newest heartbeat. */
  lastSync(): Date | undefined {
    return this.#heartbeat.lastSync();
  }

  /** Consecutive attempts that could not write the publish directory, heartbeats included. */
  failures(): number {
    return this.#failures + this.#heartbeat.failures();
  }

  /** Publishes until `signal` aborts. The directory stays as it is then. */
  async run(signal: AbortSignal): Promise<void> {
    while (!this.#source.isUsable() && !signal.aborted) await sleep(this.#clock, syncPollMs, signal);
    this.#flushAt = this.#clock.monotonic();
    const { heldBack } = this.#keys;
    const jobs = [
      { dueAt: () => Math.min(this.#flushAt, this.#aggregatesAt()), run: () => this.#flush() },
      { dueAt: () => this.#heartbeatAt, run: () => this.#beat() },
      this.#upkeep.fileCheck,
      this.#upkeep.removal,
      // It waits for the API server, and documents do not wait for it.
      {
        dueAt: () => (this.#confirming ? never : this.#keys.nextExpiry()),
        run: () => void this.#confirmDepartures(),
      },
      { dueAt: () => heldBack.nextExpiry(), run: () => this.#releaseHeldBack() },
    ];
    await this.#schedule.run(jobs, signal);
  }

  /** When an aggregate that is not current may be written, in monotonic milliseconds. */
  #aggregatesAt(): number {
    return this.#complete && this.#failures === 0 ? this.#writer.dueAt() : never;
  }

  #flushSoon(): void {
    if (!this.#complete || this.#failures > 0) return;
    this.#flushAt = Math.min(this.#flushAt, this.#clock.monotonic());
    this.#schedule.wake();
  }

  async #flush(): Promise<void> {
    this.#flushAt = never;
    const everything = !this.#complete;
    const unread = this.#source.unread();
    this.#takeChanges(everything, unread);
    const errors: unknown[] = [];
    const attempt = (work: Promise<void>): Promise<unknown> => work.catch((error: unknown) => errors.push(error));
    if (everything) await attempt(this.#directory.prepare());
    errors.push(...(await this.#writer.write(everything)));
    if (unread.length > 0) await attempt(this.#previousRun.withdraw());
    if (errors.length > 0) {
      this.#flushAt = this.#clock.monotonic() + Math.min(firstRetryMs * 2 ** this.#failures, longestRetryMs);
      this.#failures += 1;
      return this.#warnings.unusable(errors[0], errors.length);
    }
    this.#failures = 0;
    this.#unread = unread;
    if (everything) {
      this.#heartbeatAt = this.#clock.monotonic();
      this.#upkeep.start();
    }
    this.#complete = true;
    this.#announce();
    // Until the first success, nothing scheduled a flush for what changed or was read during this one.
    if (this.#changed.size > 0 || this.#source.unread().length < unread.length) this.#flushSoon();
  }

  /** Renders the documents of the registrations that changed, or of all registrations. */
  #takeChanges(everything: boolean, unread: readonly string[]): void {
    const changed = this.#changed;
    this.#changed = new Map();
    const now = this.#clock.monotonic();
    const take = (ref: RegistrationRef, objects: readonly LtiKeyFacts[]): void => {
      const keys = this.#keys.update(ref, objects, now);
      if (keys === undefined) return;
      if (unread.length > 0) this.#previousRun.revoked(keys);
      if (this.#writer.setKeys(ref, keys)) this.#unannounced.set(registrationKey(ref), ref);
    };
    if (everything) {
      for (const [place, objects] of Map.groupBy(this.#source.list(), (object) =>
        registrationKey(registrationRefOf(object)),
      )) {
        changed.delete(place);
        take(registrationRefOf(objects[0]!), objects);
      }
    }
    for (const ref of changed.values()) take(ref, this.#source.listOf(ref.namespace, ref.registration));
    if (everything) this.#writer.markAllStale();
    // The previous run's document of all namespaces stays until all were read, unless it lists a revoked key.
    if (unread.length > 0) this.#writer.skip(allFile);
    else if (this.#all && this.#unread.length > 0) this.#writer.markStale([allFile]);
  }

  #announce(): void {
    if (this.#writer.dueAt() !== never) return;
    const written = this.#unannounced;
    this.#unannounced = new Map();
    for (const { namespace, registration } of written.values()) this.#published?.(namespace, registration);
  }

  #releaseHeldBack(): void {
    const released = this.#keys.heldBack.expired(this.#clock.monotonic());
    for (const { namespace, registration } of released) this.changed(namespace, registration);
  }

  async #confirmDepartures(): Promise<void> {
    this.#confirming = true;
    const changed = this.changed.bind(this);
    await confirmDepartures({ keys: this.#keys, source: this.#source, clock: this.#clock, log: this.#log, changed });
    this.#confirming = false;
    this.#schedule.wake();
  }

  /**
   * Writes that the directory is what the API server has. Skipped while no watch is connected or a write fails, and delayed while
   * an aggregate is not current.
   */
  async #beat(): Promise<void> {
    const aggregatesAt = this.#aggregatesAt();
    const delayed = aggregatesAt !== never;
    this.#heartbeatAt = delayed ? aggregatesAt : this.#clock.monotonic() + heartbeatMs;
    if (delayed || !this.#source.isConnected() || this.#failures > 0) return;
    await this.#heartbeat.write(this.#unread);
  }
}

function registrationRefOf({ metadata, spec }: LtiKeyFacts): RegistrationRef {
  return { namespace: metadata.namespace ?? '', registration: spec.registrationRef.name };
}
