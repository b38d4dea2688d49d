import type { Clock } from '../lib/clock.ts';

/** The part of its process that a command uses. kubectl-lti.ts creates it from the real process, and tests replace it. */
export interface Terminal {
  /** Writes to standard output: the result, and nothing else. */
  readonly out: (text: string) => void;
  /** Writes to standard error: progress, warnings and errors. */
  readonly err: (text: string) => void;
  /** Asks a yes-or-no question on the terminal; `undefined` if standard input is not a terminal. */
  readonly confirm: (question: string) => Promise<boolean | undefined>;
  /** Reads standard input to its end. */
  readonly readInput: () => Promise<string>;
  /** The characters that the user types, without Enter, until `signal` aborts; absent if standard input is not a terminal. */
  readonly keyPresses?: (signal: AbortSignal) => AsyncIterable<string>;
  /** Whether standard output is a terminal. */
  readonly interactive: boolean;
  /** The width of the terminal in characters; 80 where there is none. */
  readonly columns: number;
  /** Whether output may have color: a terminal, and no `NO_COLOR` (https://no-color.org). */
  readonly color: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Aborts when the user interrupts the command. */
  readonly signal: AbortSignal;
}
