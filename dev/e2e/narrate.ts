/** When the run began, as milliseconds since the epoch; the processes of one run share it. */
export const startedVariable = 'E2E_STARTED_AT';

/** A line of progress behind the seconds since the run began. */
export function say(sentence: string): void {
  const started = Number(process.env[startedVariable] ?? Date.now());
  console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${sentence}`);
}
