import { type Duration, second } from '../domain/duration.ts';
import { sleep, within } from '../lib/clock.ts';
import { LeaseCandidate, type LeaseOptions } from './lease.ts';

/**
 * client-go's defaults. A leader that cannot renew gives up after this time: before another candidate can take over, which
 * is 15 s (the duration of the Lease) after the last renewal that the candidate saw.
 */
const renewDeadline: Duration = 10 * second;
const retryPeriod: Duration = 2 * second;
/** Candidates retry after 1 to 1 + this many periods, so that they do not all retry together. */
const retryJitter = 1.2;

export interface LeaderOptions extends LeaseOptions {
  readonly metrics?: { leading(lease: string, is: boolean): void };
  /** Jitter of retries, in [0, 1). */
  readonly random?: () => number;
}

/**
 * Competes for a Lease and runs `lead` while it is held, again and again, until `signal` aborts; then releases the Lease and
 * resolves. The signal that `lead` receives aborts when the Lease is lost or `signal` aborts. The Lease is renewed until
 * `lead` has ended, so that no other leader begins before. Rejects if `lead` rejects.
 *
 * The Lease prevents duplicate work; it is not a lock. Correctness rests on the resourceVersion in every write.
 */
export async function runAsLeader(
  options: LeaderOptions,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { name, identity, clock, log, metrics, random = Math.random } = options;
  const candidate = new LeaseCandidate(options);
  metrics?.leading(name, false);
  try {
    while (!signal.aborted) {
      const sent = await candidate.tryToHold(signal);
      if (sent !== undefined && !signal.aborted) {
        log.info({ name, identity }, 'became leader');
        metrics?.leading(name, true);
        try {
          const lost = new AbortController();
          const ended = new AbortController();
          const leading = lead(AbortSignal.any([signal, lost.signal])).finally(() => ended.abort());
          await Promise.all([leading, renew(options, candidate, sent, lost, ended.signal)]);
        } finally {
          metrics?.leading(name, false);
          log.info({ name, identity }, 'stopped leading');
          await within(clock, renewDeadline, candidate.release());
        }
      }
      await sleep(clock, retryPeriod * (1 + random() * retryJitter), signal);
    }
  } finally {
    // an attempt that `signal` interrupted may have taken the Lease
    await within(clock, renewDeadline, candidate.release());
  }
}

/**
 * Renews every {@link retryPeriod} until `ended`, and aborts `lost` if no write sent within the last {@link renewDeadline}
 * renewed the Lease, or if another process holds it. A request that hangs does not delay that. The periods count from the
 * start of each attempt, so that the API server may take almost half of the deadline for each answer.
 *
 * @param sent when the write that won the Lease was sent, on the monotonic clock
 */
async function renew(
  { name, clock, log }: LeaderOptions,
  candidate: LeaseCandidate,
  sent: number,
  lost: AbortController,
  ended: AbortSignal,
): Promise<void> {
  const over = AbortSignal.any([ended, lost.signal]);
  const giveUp = (): void => {
    log.warn({ name }, 'the leader lease was not renewed in time; the operator stops its work as leader');
    lost.abort();
  };
  const deadline = (): (() => void) => clock.setTimer(giveUp, renewed + renewDeadline - clock.monotonic());
  let renewed = sent;
  let began = sent;
  let cancelDeadline = deadline();
  for (;;) {
    await sleep(clock, began + retryPeriod - clock.monotonic(), over);
    if (over.aborted) break;
    began = clock.monotonic();
    const renewal = await candidate.tryToHold(over);
    if (over.aborted) break;
    if (renewal !== undefined) {
      cancelDeadline();
      const durationMs = Math.round(clock.monotonic() - renewed);
      if (durationMs > renewDeadline / 2) log.warn({ name, durationMs }, 'the leader lease was renewed late');
      renewed = renewal;
      cancelDeadline = deadline();
    } else if (candidate.heldByAnother) {
      log.warn({ name }, 'another process holds the leader lease; the operator stops its work as leader');
      lost.abort();
    }
  }
  cancelDeadline();
}
