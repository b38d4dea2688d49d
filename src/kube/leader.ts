import { sleep, type Clock } from '../lib/clock.ts';
import { LeaseCandidate, type LeaseOptions } from './lease.ts';

/**
 * client-go's defaults. A leader that cannot renew gives up after this time, well before anyone else may take over,
 * which is the duration of the Lease (15 s) after the last renewal that the other one saw.
 */
const renewDeadlineMs = 10_000;
const retryPeriodMs = 2_000;
/** Candidates try again after 1 to 1 + this many periods, so that they do not all come at once. */
const retryJitter = 1.2;

export interface LeaderMetrics {
  leading(lease: string, is: boolean): void;
}

export interface LeaderOptions extends LeaseOptions {
  readonly metrics?: LeaderMetrics;
  /** Numbers in [0, 1) that spread retries; tests fix them. */
  readonly random?: () => number;
}

/**
 * Competes for a Lease and runs `lead` while it is held, again and again, until `signal` aborts; then the Lease is
 * released and the promise resolves. The signal that `lead` gets aborts when the Lease is lost or `signal` aborts; the
 * Lease is renewed until `lead` has ended, so that nobody else begins before. What `lead` throws is thrown on.
 *
 * The lease is a convenience, not a lock: correctness rests on the resourceVersion that every write carries.
 */
export async function runAsLeader(
  options: LeaderOptions,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { name, identity, clock, log, metrics } = options;
  const random = options.random ?? Math.random;
  const candidate = new LeaseCandidate(options);
  metrics?.leading(name, false);
  try {
    while (!signal.aborted) {
      const sent = await candidate.tryToHold(signal);
      if (sent !== undefined && !signal.aborted) {
        log.info({ name, identity }, 'became leader');
        metrics?.leading(name, true);
        try {
          await leadOneTerm({ ...options, candidate, sent }, lead, signal);
        } finally {
          metrics?.leading(name, false);
          log.info({ name, identity }, 'is no longer leader');
          await within(clock, renewDeadlineMs, candidate.release());
        }
      }
      await sleep(clock, retryPeriodMs * (1 + random() * retryJitter), signal);
    }
  } finally {
    // an attempt that the signal has interrupted may have taken the Lease
    await within(clock, renewDeadlineMs, candidate.release());
  }
}

interface Term extends LeaderOptions {
  readonly candidate: LeaseCandidate;
  /** When, on the monotonic clock, the write that won the Lease was sent. */
  readonly sent: number;
}

async function leadOneTerm(
  term: Term,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const lost = new AbortController();
  const ended = new AbortController();
  const leading = lead(AbortSignal.any([signal, lost.signal])).finally(() => ended.abort());
  await Promise.all([leading, renew(term, lost, ended.signal)]);
}

/**
 * Renews every {@link retryPeriodMs} until `ended`, and aborts `lost` when no write sent within the last
 * {@link renewDeadlineMs} renewed the Lease, or when somebody else holds it. A request that hangs does not delay that. The
 * periods count from when an attempt began, so that an API server may take close to half of the deadline for each answer.
 */
async function renew(term: Term, lost: AbortController, ended: AbortSignal): Promise<void> {
  const { name, candidate, clock, log } = term;
  const over = AbortSignal.any([ended, lost.signal]);
  const giveUp = (): void => {
    log.warn({ name }, 'the leader lease was not renewed in time; the operator stops its work as leader');
    lost.abort();
  };
  const deadline = (): (() => void) => clock.setTimer(giveUp, renewed + renewDeadlineMs - clock.monotonic());
  let renewed = term.sent;
  let began = term.sent;
  let cancelDeadline = deadline();
  for (;;) {
    await sleep(clock, began + retryPeriodMs - clock.monotonic(), over);
    if (over.aborted) break;
    began = clock.monotonic();
    const sent = await candidate.tryToHold(over);
    if (over.aborted) break;
    if (sent !== undefined) {
      cancelDeadline();
      const durationMs = Math.round(clock.monotonic() - renewed);
      if (durationMs > renewDeadlineMs / 2) log.warn({ name, durationMs }, 'the leader lease was renewed late');
      renewed = sent;
      cancelDeadline = deadline();
    } else if (candidate.heldByAnother) {
      log.warn({ name }, 'another process holds the leader lease; the operator stops its work as leader');
      lost.abort();
    }
  }
  cancelDeadline();
}

/** Resolves with `promise`, or after `milliseconds` if that takes longer. */
async function within(clock: Clock, milliseconds: number, promise: Promise<void>): Promise<void> {
  const settled = new AbortController();
  try {
    await Promise.race([promise, sleep(clock, milliseconds, settled.signal)]);
  } finally {
    settled.abort();
  }
}
