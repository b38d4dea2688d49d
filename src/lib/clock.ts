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
