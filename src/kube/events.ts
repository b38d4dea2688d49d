import { events, operatorName } from '../api/names.ts';
import { type Duration, second } from '../domain/duration.ts';
import { type Clock, sleep, within } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { isAlreadyExists, isRefusedWrite } from './errors.ts';
import { type KubeObject, microTime, type ResourceType } from './objects.ts';

const maximumPending = 1000;
/** Attempts to write an event, 1 s and 2 s apart. */
const attempts = 3;
/** The API server refuses longer notes. */
const maximumNoteBytes = 1024;

export type EventType = 'Normal' | 'Warning';

/** The fields of an `events.k8s.io/v1` Event that the recorder writes. */
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

export interface EventRecorderOptions {
  readonly client: { create(type: ResourceType, event: KubeEvent): Promise<unknown> };
  readonly clock: Clock;
  readonly log: Logger;
  /** The reporting process: the Pod's name. */
  readonly instance: string;
  /** Counts events that are not written: too many are pending, or the API server did not accept them. */
  readonly metrics?: { dropped(why: 'buffer_full' | 'write_failed'): void };
}

/** Writes events in the background, one after another. Events are best effort. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  #pending = 0;
  #written = Promise.resolve();
  #sequence = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  /**
   * Returns at once and never throws.
   *
   * @param object a namespaced object, with `apiVersion` and `kind`
   * @param reason a reason of `api/reasons`, in UpperCamelCase
   * @param action what the operator did or tried, in UpperCamelCase
   * @param note a sentence; cut at 1024 bytes
   */
  record(object: KubeObject, type: EventType, reason: string, action: string, note: string): void {
    if (this.#pending >= maximumPending) return this.#options.metrics?.dropped('buffer_full');
    const { apiVersion, kind } = object;
    const { namespace, name, uid, resourceVersion } = object.metadata;
    const now = this.#options.clock.now();
    // `<object>.<time and a counter in hex>`, as client-go names events
    const suffix = now.getTime().toString(16) + (this.#sequence++ % 0x10000).toString(16).padStart(4, '0');
    const event: KubeEvent = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace: namespace!, name: `${name}.${suffix}` },
      eventTime: microTime(now),
      reportingController: operatorName,
      reportingInstance: this.#options.instance,
      action,
      reason,
      regarding: { apiVersion, kind, namespace, name, uid, resourceVersion },
      note: cut(note),
      type,
    };
    this.#pending += 1;
    this.#written = this.#written.then(() => this.#write(event));
  }

  /** Resolves when all recorded events have been written or dropped, or after `limit`. */
  flush(limit: Duration = 5 * second): Promise<void> {
    return within(this.#options.clock, limit, this.#written);
  }

  async #write(event: KubeEvent): Promise<void> {
    const { client, clock, log, metrics } = this.#options;
    this.#pending -= 1;
    for (let attempt = 1; ; attempt++) {
      try {
        return void (await client.create(events, event));
      } catch (error) {
        // an earlier attempt wrote it, and its answer was lost
        if (attempt > 1 && isAlreadyExists(error)) return;
        if (attempt === attempts || isRefusedWrite(error)) {
          const { reason, metadata, regarding } = event;
          log.debug({ reason, namespace: metadata.namespace!, name: regarding.name, error }, 'cannot write event');
          return metrics?.dropped('write_failed');
        }
      }
      await sleep(clock, attempt * second);
    }
  }
}

/** Cuts UTF-8 at {@link maximumNoteBytes}, never within a character. */
function cut(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= maximumNoteBytes) return note;
  const room = maximumNoteBytes - Buffer.byteLength('…');
  return `${new TextDecoder().decode(bytes.subarray(0, room), { stream: true })}…`;
}
