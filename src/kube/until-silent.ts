import type { Clock } from '../lib/clock.ts';
import { TransportError } from './errors.ts';

/**
 * Passes events on until none has come for `idleMs`, then throws: a peer that vanished without closing the connection
 * is noticed by nothing else. Ends at once, by throwing its reason, when `signal` aborts.
 */
export async function* untilSilent<E>(
  events: AsyncIterable<E>,
  clock: Clock,
  idleMs: number,
  signal: AbortSignal,
): AsyncGenerator<E, void, undefined> {
  const iterator = events[Symbol.asyncIterator]();
  const next = (): Promise<IteratorResult<E>> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const abort = (): void => {
        cancel();
        reject(signal.reason);
      };
      signal.addEventListener('abort', abort, { once: true });
      const cancel = clock.setTimer(() => {
        reject(new TransportError('Timeout', `The watch was silent for ${idleMs / 1000} s`));
      }, idleMs);
      iterator
        .next()
        .then(resolve, reject)
        .finally(() => {
          cancel();
          signal.removeEventListener('abort', abort);
        });
    });
  try {
    for (let result = await next(); result.done !== true; result = await next()) yield result.value;
  } finally {
    // not awaited: a silent source answers only once its connection has been given up, which is the caller's to do
    iterator.return?.().catch(() => undefined);
  }
}
