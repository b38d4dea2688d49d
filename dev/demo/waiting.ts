import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 100;
/** Nothing that a story waits for takes half as long, even on a busy machine. */
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
      throw new Error(`Waited ${patienceMs / 1000} s in vain until ${what}. The operator says: ${explanation()}`);
    }
    await sleep(pollMs);
  }
}
