import type { Terminal } from '../../src/cli/terminal.ts';
import { systemClock } from '../../src/lib/clock.ts';

export interface FakeTerminal extends Terminal {
  /** What the command wrote to standard output so far. */
  readonly output: () => string;
  /** What the command wrote to standard error so far. */
  readonly errors: () => string;
}

/** A terminal in memory, without color. `answer`: what the user answers to every question; absent: standard input is not a terminal. */
export function fakeTerminal({
  answer,
  input = '',
  ...given
}: Partial<Terminal> & { readonly answer?: boolean; readonly input?: string } = {}): FakeTerminal {
  const out: string[] = [];
  const err: string[] = [];
  return {
    out: (text) => void out.push(text),
    err: (text) => void err.push(text),
    confirm: () => Promise.resolve(answer),
    readInput: () => Promise.resolve(input),
    interactive: false,
    columns: 80,
    color: false,
    environment: {},
    clock: systemClock,
    signal: new AbortController().signal,
    ...given,
    output: () => out.join(''),
    errors: () => err.join(''),
  };
}
