/** Everything that reads the time or waits takes a `Clock`, so that tests can pass through months. */
export interface Clock {
  /** Wall-clock time. */
  now(): Date;
  /** Monotonic milliseconds; only differences mean anything. */
  monotonic(): number;
  /** Runs `callback` once after `milliseconds`; the returned function cancels it. */
  setTimer(callback: () => void, milliseconds: number): () => void;
}

/** Node stores the delay of a timer in milliseconds as a signed 32-bit integer; longer delays are chained. */
const longestTimer = 2 ** 31 - 1;

function setSystemTimer(callback: () => void, milliseconds: number): () => void {
  let timer: NodeJS.Timeout;
  const arm = (left: number): void => {
    const step = Math.min(left, longestTimer);
    timer = setTimeout(() => (left > step ? arm(left - step) : callback()), step);
  };
  arm(Math.max(0, milliseconds));
  return () => clearTimeout(timer);
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  setTimer: setSystemTimer,
};

export interface Deadline {
  readonly clock: Clock;
  readonly milliseconds: number;
  /** The error after this time. */
  readonly late: () => Error;
  readonly signal?: AbortSignal | undefined;
}

/** Resolves after this time, or when `signal` aborts. */
export function sleep(clock: Clock, milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const end = (): void => {
      cancel();
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.setTimer(end, milliseconds);
    signal?.addEventListener('abort', end, { once: true });
  });
}

/** Waits for `promise`, at most for this many milliseconds. */
export async function within(clock: Clock, milliseconds: number, promise: Promise<void>): Promise<void> {
  const settled = new AbortController();
  try {
    await Promise.race([promise, sleep(clock, milliseconds, settled.signal)]);
  } finally {
    settled.abort();
  }
}

/**
 * Settles as `work`, or rejects with `late()` after this time, or with the reason of `signal` when it aborts, even if `work`
 * ignores the signal that it receives. Does not begin if `signal` has aborted.
 */
export async function withDeadline<R>(
  { clock, milliseconds, late, signal }: Deadline,
  work: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  signal?.throwIfAborted();
  const over = new AbortController();
  const { promise: interrupted, reject } = Promise.withResolvers<never>();
  const interrupt = (reason: unknown): void => {
    reject(reason);
    over.abort(reason);
  };
  const abort = (): void => interrupt(signal?.reason);
  signal?.addEventListener('abort', abort);
  const cancel = clock.setTimer(() => interrupt(late()), milliseconds);
  try {
    return await Promise.race([work(over.signal), interrupted]);
  } finally {
    cancel();
    signal?.removeEventListener('abort', abort);
  }
}
