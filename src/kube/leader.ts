import { sleep, type Clock } from '../lib/clock.ts';
import { LeaseCandidate, type LeaseOptions } from './lease.ts';

/**
 * client-go's defaults. A leader that cannot renew gives up after this time, well before anyone else may take over,
 * which is the duration of the Lease (15 s) after the last renewal that the other one saw.
 */
const renewDeadlineMs = 10_000;
const retryPeriodMs = 2_000;
/** A request that takes longer is left alone and another one is sent. */
const attemptTimeoutMs = 4_000;
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
  while (!signal.aborted) {
    const sent = clock.monotonic();
    const held = (await within(clock, attemptTimeoutMs, candidate.tryToHold())) ?? false;
    if (held && !signal.aborted) {
      log.info({ name, identity }, 'became leader');
      metrics?.leading(name, true);
      try {
        await leadOneTerm({ candidate, clock, sent }, lead, signal);
      } finally {
        metrics?.leading(name, false);
        log.info({ name, identity }, 'is no longer leader');
        await within(clock, attemptTimeoutMs, candidate.release());
      }
    } else if (held) {
      await within(clock, attemptTimeoutMs, candidate.release());
    }
    await sleep(clock, retryPeriodMs * (1 + random() * retryJitter), signal);
  }
}

interface Term {
  readonly candidate: LeaseCandidate;
  readonly clock: Clock;
  /** When, on the monotonic clock, the request that won the Lease was sent. */
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
 * Renews every {@link retryPeriodMs} until `ended`, and aborts `lost` when no request sent within the last
 * {@link renewDeadlineMs} renewed the Lease, or when somebody else holds it. A request that hangs does not delay that.
 */
async function renew({ candidate, clock, sent }: Term, lost: AbortController, ended: AbortSignal): Promise<void> {
  const over = AbortSignal.any([ended, lost.signal]);
  const giveUp = (): void => lost.abort();
  const deadline = (from: number): (() => void) => clock.setTimer(giveUp, from + renewDeadlineMs - clock.monotonic());
  let cancelDeadline = deadline(sent);
  while (!over.aborted) {
    await sleep(clock, retryPeriodMs, over);
    if (over.aborted) break;
    const resent = clock.monotonic();
    const renewed = await within(clock, attemptTimeoutMs, candidate.tryToHold());
    if (candidate.heldByAnother) giveUp();
    if (renewed !== true || lost.signal.aborted) continue;
    cancelDeadline();
    cancelDeadline = deadline(resent);
  }
  cancelDeadline();
}

/** What `promise` resolves to, or `undefined` when that takes longer than `milliseconds`. */
async function within<T>(clock: Clock, milliseconds: number, promise: Promise<T>): Promise<T | undefined> {
  const settled = new AbortController();
  const late = sleep(clock, milliseconds, settled.signal).then(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    settled.abort();
  }
}
