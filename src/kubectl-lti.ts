#!/usr/bin/env node
import { on } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import { systemClock } from './lib/clock.ts';
import { nodeProblem } from './lib/node-version.ts';

/** The entry point of the kubectl plugin: the only file of it that sees arguments, environment, streams, signals and the exit. */

const interrupt = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => interrupt.abort());
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

/** In raw mode, so the terminal sends Ctrl-C as a character instead of a signal. */
async function* keyPresses(signal: AbortSignal): AsyncGenerator<string> {
  const { stdin } = process;
  stdin.setRawMode(true).setEncoding('utf8').resume();
  try {
    for await (const [typed] of on(stdin, 'data', { signal, close: ['end'] }) as AsyncIterable<[string]>) {
      if (typed.includes('\u0003')) interrupt.abort();
      yield* typed;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stdin.setRawMode(false).pause();
  }
}

async function run(): Promise<number> {
  const problem = nodeProblem('kubectl lti', process.version, 'the binary of the release, which needs none');
  if (problem !== undefined) {
    process.stderr.write(`error: ${problem}\n`);
    return 1;
  }
  // Loaded after the check, because an older Node cannot load it.
  const { runCli } = await import('./cli/program.ts');
  return runCli(process.argv.slice(2), {
    out: (written) => process.stdout.write(written),
    err: (written) => process.stderr.write(written),
    confirm,
    readInput: () => text(process.stdin),
    ...(process.stdin.isTTY ? { keyPresses } : {}),
    interactive: process.stdout.isTTY,
    columns: process.stdout.columns ?? 80,
    color: process.stdout.isTTY && !process.env['NO_COLOR'],
    environment: process.env,
    clock: systemClock,
    signal: interrupt.signal,
  });
}

// A promise, not a top-level await: the single executable is CommonJS.
void run().then((code) => (process.exitCode = code));
