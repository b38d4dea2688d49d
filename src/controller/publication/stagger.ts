import type { Duration } from '../../domain/duration.ts';

/** Enqueues each key once, evenly spaced over `within`; the first one immediately. */
export function stagger<K>(
  keys: readonly K[],
  within: Duration,
  enqueueAfter: (key: K, delay: Duration) => void,
): void {
  keys.forEach((key, index) => enqueueAfter(key, Math.floor((index * within) / keys.length)));
}
