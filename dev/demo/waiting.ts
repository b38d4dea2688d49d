import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 100;
/** Twice as long as the longest wait of a story on a busy machine. */
const patienceMs = 90_000;

/** Waits for a condition. @throws Error that says what did not happen and, from `explanation`, why */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  explanation: () => string,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > deadline) {
      throw new Error(`Not within ${patienceMs / 1000} s: ${what}. The operator reports: ${explanation()}`);
    }
    await sleep(pollMs);
  }
}
