import type { Duration } from '../../domain/duration.ts';

/** Enqueues every key once, the first at once and the others evenly spaced, so that all are looked at in that time. */
export function spread<K>(keys: readonly K[], within: Duration, enqueueAfter: (key: K, delay: Duration) => void): void {
  keys.forEach((key, index) => enqueueAfter(key, Math.floor((index * within) / keys.length)));
}
