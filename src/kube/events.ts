import { events, operatorName } from '../api/names.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { isConflict, isObjectNotFound } from './errors.ts';
import { EventFilter } from './event-filter.ts';
import { microTime } from './micro-time.ts';
import type { KubeObject, ResourceType } from './objects.ts';

/** Repetitions within this time of each other are one event with a count. */
const seriesWindowMs = 600_000;
/** Series remembered, and events waiting to be written, at most. */
const maximumSeries = 4096;
const maximumPending = 1000;
/** The API server refuses longer notes. */
const maximumNoteBytes = 1024;
const maximumNameLength = 253;

export type EventType = 'Normal' | 'Warning';

/** `events.k8s.io/v1` Event, as far as the recorder writes it. */
export interface KubeEvent extends KubeObject {
  readonly eventTime: string;
  readonly reportingController: string;
  readonly reportingInstance: string;
  readonly action: string;
  readonly reason: string;
  readonly regarding: {
    readonly apiVersion?: string;
    readonly kind?: string;
    readonly namespace?: string;
    readonly name: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  };
  readonly note: string;
  readonly type: EventType;
  /** Present from the second occurrence on. */
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
}

export interface EventClient {
  create(type: ResourceType, event: KubeEvent): Promise<KubeEvent>;
  replace(type: ResourceType, event: KubeEvent): Promise<KubeEvent>;
}

export interface EventRecorder {
  /**
   * Tells people who look at `regarding` (which carries its `apiVersion` and `kind`) what happened. Returns at once and
   * never throws; events are best effort.
   *
   * @param reason a reason of `api/conditions`, in UpperCamelCase
   * @param action what the operator did or tried, in UpperCamelCase
   * @param note a sentence; cut at 1024 bytes
   */
  record(regarding: KubeObject, type: EventType, reason: string, action: string, note: string): void;
}

export interface EventMetrics {
  /** An occurrence that is not written: too many of one object, too many waiting, or the API server refused. */
  dropped(why: 'rate_limited' | 'buffer_full' | 'write_failed'): void;
}

export interface EventRecorderOptions {
  readonly client: EventClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Which process reports: the Pod's name. */
  readonly instance: string;
  readonly metrics?: EventMetrics;
}

/** An event without the name that each attempt to create it gets: one that broke off may have taken the last name. */
type Occurrence = Omit<KubeEvent, 'metadata'>;

interface Series {
  /** What the next write says. */
  event: Occurrence;
  count: number;
  /** Monotonic time of the last occurrence. */
  lastAt: number;
  /** As the API server stored it. */
  stored?: KubeEvent;
}

/** Writes events one at a time, in the background; occurrences that come meanwhile are written together. */
export class KubeEventRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #filter = new EventFilter();
  /** Least recently seen first. */
  readonly #series = new Map<string, Series>();
  readonly #pending = new Set<Series>();
  #writing: Promise<void> | undefined;
  #sequence = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(regarding: KubeObject, type: EventType, reason: string, action: string, note: string): void {
    const { clock, metrics } = this.#options;
    const now = clock.monotonic();
    const { namespace = '', name, uid = '' } = regarding.metadata;
    const object = [regarding.kind, namespace, name, uid].join('/');
    const series = this.#occurred([object, type, reason, action, note].join('\n'), now, () =>
      this.#event(regarding, type, reason, action, note),
    );
    if (!this.#filter.allows(object, now)) return metrics?.dropped('rate_limited');
    if (this.#pending.size >= maximumPending && !this.#pending.has(series)) return metrics?.dropped('buffer_full');
    this.#pending.add(series);
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when everything recorded so far is written, or after `milliseconds`: the last step before an exit. */
  async flush(milliseconds = 5000): Promise<void> {
    if (this.#writing === undefined) return;
    const written = new AbortController();
    await Promise.race([this.#writing, sleep(this.#options.clock, milliseconds, written.signal)]);
    written.abort();
  }

  /** The series this occurrence belongs to, counting it. */
  #occurred(key: string, now: number, describe: () => Occurrence): Series {
    const known = this.#series.get(key);
    const fresh = known !== undefined && now - known.lastAt <= seriesWindowMs;
    const series = fresh ? known : { event: describe(), count: 0, lastAt: now };
    series.count += 1;
    series.lastAt = now;
    if (series.count > 1) {
      const lastObservedTime = microTime(this.#options.clock.now());
      series.event = { ...series.event, series: { count: series.count, lastObservedTime } };
    }
    this.#series.delete(key);
    this.#series.set(key, series);
    for (const [oldKey, old] of this.#series) {
      if (now - old.lastAt <= seriesWindowMs && this.#series.size <= maximumSeries) break;
      this.#series.delete(oldKey);
    }
    return series;
  }

  #event(regarding: KubeObject, type: EventType, reason: string, action: string, note: string): Occurrence {
    const { clock, instance } = this.#options;
    const { apiVersion, kind } = regarding;
    const { namespace, name, uid, resourceVersion } = regarding.metadata;
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      eventTime: microTime(clock.now()),
      reportingController: operatorName,
      reportingInstance: instance,
      action,
      reason,
      regarding: {
        ...(apiVersion === undefined ? {} : { apiVersion }),
        ...(kind === undefined ? {} : { kind }),
        ...(namespace === undefined ? {} : { namespace }),
        name,
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      note: cut(note),
      type,
    };
  }

  async #writeAll(): Promise<void> {
    const { log, metrics } = this.#options;
    for (const series of this.#pending) {
      this.#pending.delete(series);
      try {
        series.stored = await this.#write(series);
      } catch (error) {
        metrics?.dropped('write_failed');
        const { reason, regarding } = series.event;
        log.debug({ reason, namespace: regarding.namespace ?? '', name: regarding.name, error }, 'cannot write event');
      }
    }
    this.#writing = undefined;
  }

  async #write({ event, stored }: Series): Promise<KubeEvent> {
    if (stored === undefined || event.series === undefined) return this.#create(event);
    try {
      return await this.#options.client.replace(events, { ...stored, series: event.series });
    } catch (error) {
      // The API server forgets events after an hour; and what somebody else changed is theirs.
      if (isObjectNotFound(error) || isConflict(error)) return this.#create(event);
      throw error;
    }
  }

  #create(event: Occurrence): Promise<KubeEvent> {
    // Events of cluster-scoped objects live in `default`: the API server allows no other place.
    const { namespace = 'default', name } = event.regarding;
    return this.#options.client.create(events, { ...event, metadata: { namespace, name: this.#name(name) } });
  }

  /** `<object>.<time and a counter in hex>`, as client-go names events. */
  #name(object: string): string {
    const counter = (this.#sequence++ % 0x10000).toString(16).padStart(4, '0');
    const suffix = `.${this.#options.clock.now().getTime().toString(16)}${counter}`;
    return object.slice(0, maximumNameLength - suffix.length).replace(/[^a-z0-9]+$/u, '') + suffix;
  }
}

/** At most {@link maximumNoteBytes} of UTF-8, not ending within a character. */
function cut(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= maximumNoteBytes) return note;
  const room = maximumNoteBytes - Buffer.byteLength('…');
  return `${new TextDecoder().decode(bytes.subarray(0, room), { stream: true })}…`;
}
