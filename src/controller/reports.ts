import type { LtiRegistration } from '../api/objects.ts';
import { hour } from '../domain/duration.ts';
import { type Announcement, announcementsWithoutStatus } from '../domain/effects.ts';
import type { Refusal, Situation } from '../domain/situation.ts';
import type { ApiError, TransportError } from '../kube/errors.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { Expiring } from './expiring.ts';
import { refusalOf } from './refusal.ts';

export interface ReportsOptions {
  readonly events: Pick<EventRecorder, 'record'>;
  readonly log: Logger;
  readonly clock: Clock;
  /** @param resource its plural, such as `secrets` or `ltikeys/status` */
  readonly refused: (resource: string) => void;
}

/** Tells users what happened to a registration: log lines, events and a metric. */
export class Reports {
  readonly #options: ReportsOptions;
  /** The announcements of the last hour that no status records: registration and reason. */
  readonly #unrecorded: Expiring<string, true>;

  constructor(options: ReportsOptions) {
    this.#options = options;
    this.#unrecorded = new Expiring(options.clock, hour);
  }

  ledgerWritten(situation: Situation, serial: number, reasons: readonly string[]): void {
    this.#options.log.info({ ...fieldsOf(situation), serial, reason: reasons.join() }, 'ledger written');
  }

  refusal(situation: Situation, { verb, object, because }: Refusal, resource: string): void {
    this.#options.refused(resource);
    const error = new Error(`${verb} ${object}: ${because}`);
    this.#options.log.warn(
      { ...fieldsOf(situation), reason: 'WriteRefused', error },
      'cannot write an object; the operator retries',
    );
  }

  /**
   * Events are the only report while the status cannot be written: each announcement of `after` is repeated once an hour at most.
   * Returns the refusal.
   */
  statusRefused(
    situation: Situation,
    error: ApiError | TransportError,
    { metadata, status: before }: LtiRegistration,
    after: NonNullable<LtiRegistration['status']>,
  ): Refusal {
    const target = { verb: 'update', object: `the status of LtiRegistration ${metadata.name}` };
    const refusal = refusalOf(error, target);
    this.refusal(situation, refusal, 'ltiregistrations/status');
    const announcements = announcementsWithoutStatus(refusal, before, after).filter(({ reason }) => {
      const key = `${situation.namespace}/${situation.name} ${reason}`;
      if (this.#unrecorded.get(key)) return false;
      this.#unrecorded.set(key, true);
      return true;
    });
    this.announce(situation, announcements);
    return refusal;
  }

  announce(situation: Situation, announcements: readonly Announcement[]): void {
    const { events, log } = this.#options;
    const { registration } = situation;
    for (const { type, reason, message } of announcements) {
      log[type === 'Warning' ? 'warn' : 'info']({ ...fieldsOf(situation), reason }, message);
      if (registration.kind === 'present') events.record(registration.object, type, reason, 'Reconcile', message);
    }
  }
}

function fieldsOf({ namespace, name }: Situation): { namespace: string; name: string } {
  return { namespace, name };
}
