import type { Announcement } from '../domain/effects.ts';
import type { Refusal, Situation } from '../domain/situation.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Logger } from '../observability/log.ts';

export interface ReportsOptions {
  readonly events: Pick<EventRecorder, 'record'>;
  readonly log: Logger;
  /** @param resource its plural, such as `secrets` or `ltikeys/status` */
  readonly refused: (resource: string) => void;
}

/** Tells users what happened to a registration: log lines, events and a metric. */
export class Reports {
  readonly #options: ReportsOptions;

  constructor(options: ReportsOptions) {
    this.#options = options;
  }

  ledgerWritten(situation: Situation, serial: number, reasons: readonly string[]): void {
    this.#options.log.info({ ...fieldsOf(situation), serial, reason: reasons.join() }, 'ledger written');
  }

  refusal(situation: Situation, { verb, object, because }: Refusal, resource: string): void {
    this.#options.refused(resource);
    const error = new Error(`${verb} ${object}: ${because}`);
    this.#options.log.warn(
      { ...fieldsOf(situation), reason: 'WriteRefused', error },
      'the API server refused a write; the operator retries',
    );
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
