#!/usr/bin/env node
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import { runCli } from './cli/program.ts';
import { systemClock } from './lib/clock.ts';

/** The entry point of the kubectl plugin: the only file of it that sees arguments, environment, streams, signals and the exit. */

const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort());
// A reader that has seen enough (`| head`) closes the pipe.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

async function confirm(question: string): Promise<boolean | undefined> {
  if (!process.stdin.isTTY) return undefined;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal: interrupt.signal });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}

// A promise, not a top-level await: the single executable is CommonJS.
const finished = runCli(process.argv.slice(2), {
  out: (written) => process.stdout.write(written),
  err: (written) => process.stderr.write(written),
  confirm,
  readInput: () => text(process.stdin),
  interactive: process.stdout.isTTY,
  columns: process.stdout.columns ?? 80,
  color: process.stdout.isTTY && !process.env['NO_COLOR'],
  environment: process.env,
  clock: systemClock,
  signal: interrupt.signal,
});
void finished.then((code) => (process.exitCode = code));
