import { setTimeout as wait } from 'node:timers/promises';

const pollMs = 250;

/**
 * Waits for a condition; one that throws is not met.
 *
 * @throws Error that says what did not happen, and what the condition said last if it threw
 */
export async function until(what: string, condition: () => Promise<boolean>, withinMs = 120_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    let last = '';
    try {
      if (await condition()) return;
    } catch (error) {
      last = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > deadline) throw new Error(`Not within ${withinMs / 1000} s: ${what}${last}`);
    await wait(pollMs);
  }
}
