import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnTied } from '../../dev/control-plane/tied-process.ts';
import { command } from './installed.ts';

/** A built command as a real process. */
export interface RunningCommand {
  readonly pid: number;
  /** The exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
  /** Everything it wrote to standard output and standard error. */
  output(): string;
  /** The lines of its JSON log. */
  log(): readonly LogLine[];
  signal(name: 'SIGTERM'): void;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly message?: string };

let started = 0;

export function startCommand(folder: string, args: readonly string[]): RunningCommand {
  started += 1;
  const logFile = join(folder, `${args[0]}-${started}.log`);
  // In a process group of its own that ends with this process; the shell replaces itself by the command.
  const running = spawnTied({ program: process.execPath, args: [command, ...args], logFile });
  const output = (): string => readFileSync(logFile, 'utf8');
  return {
    pid: running.pid,
    exited: running.exited,
    output,
    log: () => output().split('\n').flatMap(parseLine),
    signal: (name) => void process.kill(running.pid, name),
    kill: () => running.kill(),
  };
}

function parseLine(line: string): LogLine[] {
  try {
    return [JSON.parse(line) as LogLine];
  } catch {
    return [];
  }
}

/** Asks until the answer is truthy; fails with `what` and the last error after `withinMs`. */
export async function eventually<T>(
  what: string,
  ask: () => T | Promise<T>,
  withinMs = 30_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + withinMs;
  let problem = '';
  for (;;) {
    try {
      const answer = await ask();
      if (answer) return answer;
      problem = '';
    } catch (error) {
      problem = `: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > deadline) throw new Error(`not within ${withinMs / 1000} s: ${what}${problem}`);
    await pause(50);
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds));
}
