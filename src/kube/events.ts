import { events, operatorName } from '../api/names.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { isAlreadyExists, isRefusedWrite } from './errors.ts';
import { microTime } from './micro-time.ts';
import type { KubeObject, ResourceType } from './objects.ts';

/** Events that wait to be written, at most, and how often each is tried, 1 s and 2 s apart. */
const maximumPending = 1000;
const attempts = 3;
const retryMs = 1000;
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
  readonly regarding: Pick<KubeObject['metadata'], 'name'> & Readonly<Record<string, string | undefined>>;
  readonly note: string;
  readonly type: EventType;
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

export interface EventRecorderOptions {
  readonly client: { create(type: ResourceType, event: KubeEvent): Promise<unknown> };
  readonly clock: Clock;
  readonly log: Logger;
  /** Which process reports: the Pod's name. */
  readonly instance: string;
  /** Told of an event that is not written: too many wait, or the API server did not take it. */
  readonly metrics?: { dropped(why: 'buffer_full' | 'write_failed'): void };
}

/** Writes one Event for each transition, one after another and in the background; the operator reports nothing twice. */
export class KubeEventRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #pending: KubeEvent[] = [];
  #writing: Promise<void> | undefined;
  #sequence = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(object: KubeObject, type: EventType, reason: string, action: string, note: string): void {
    if (this.#pending.length >= maximumPending) return this.#options.metrics?.dropped('buffer_full');
    const { apiVersion, kind } = object;
    const { namespace, name, uid, resourceVersion } = object.metadata;
    const now = this.#options.clock.now();
    // `<object>.<time and a counter in hex>`, as client-go names events
    const suffix = `.${now.getTime().toString(16)}${(this.#sequence++ % 0x10000).toString(16).padStart(4, '0')}`;
    const stem = name.slice(0, maximumNameLength - suffix.length).replace(/[^a-z0-9]+$/u, '');
    this.#pending.push({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      // the events of cluster-scoped objects live in `default`: the API server allows no other place
      metadata: { namespace: namespace ?? 'default', name: stem + suffix },
      eventTime: microTime(now),
      reportingController: operatorName,
      reportingInstance: this.#options.instance,
      action,
      reason,
      regarding: { apiVersion, kind, namespace, name, uid, resourceVersion },
      note: cut(note),
      type,
    });
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when everything recorded so far is written, or after `milliseconds`: the last step before an exit. */
  async flush(milliseconds = 5000): Promise<void> {
    const written = new AbortController();
    await Promise.race([this.#writing, sleep(this.#options.clock, milliseconds, written.signal)]);
    written.abort();
  }

  async #writeAll(): Promise<void> {
    for (let event = this.#pending.shift(); event; event = this.#pending.shift()) await this.#write(event);
    this.#writing = undefined;
  }

  async #write(event: KubeEvent): Promise<void> {
    const { client, clock, log, metrics } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return void (await client.create(events, event));
      } catch (error) {
        // by an attempt whose answer was lost
        if (attempt > 1 && isAlreadyExists(error)) return;
        if (attempt === attempts || isRefusedWrite(error)) {
          const { reason, metadata } = event;
          log.debug(
            { reason, namespace: metadata.namespace!, name: event.regarding.name, error },
            'cannot write event',
          );
          return metrics?.dropped('write_failed');
        }
      }
      await sleep(clock, retryMs * attempt);
    }
  }
}

/** At most {@link maximumNoteBytes} of UTF-8, not ending within a character. */
function cut(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= maximumNoteBytes) return note;
  const room = maximumNoteBytes - Buffer.byteLength('…');
  return `${new TextDecoder().decode(bytes.subarray(0, room), { stream: true })}…`;
}
