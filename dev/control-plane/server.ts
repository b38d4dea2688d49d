import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { Restartable } from './control-plane.ts';
import { spawnTied, type TiedProcess, type TiedProcessOptions } from './tied-process.ts';

const pollMs = 50;
const readyWithinMs = 60_000;

export interface ServerOptions extends TiedProcessOptions {
  /** For people, as in `kube-apiserver`. */
  readonly name: string;
  /** Whether it serves now; asked every 50 ms, must not throw. */
  readonly isReady: () => Promise<boolean>;
}

/** A program that is started and killed any number of times; see {@link Restartable}. */
export function server(options: ServerOptions): Restartable {
  let running: TiedProcess | undefined;

  async function start(): Promise<void> {
    if (running !== undefined) return;
    // They live for minutes: memory is cheaper than the time of collecting garbage.
    const started = spawnTied({ ...options, env: { GOGC: '300', ...process.env, ...options.env } });
    running = started;
    let exit: number | string | undefined;
    const note = (code: number | string): void => {
      exit = code;
      if (running === started) running = undefined;
    };
    void started.exited.then(note);
    const deadline = performance.now() + readyWithinMs;
    while (!(await options.isReady())) {
      if (exit !== undefined) throw new Error(failure(options, `ended with ${exit} before it was ready`));
      if (performance.now() > deadline) {
        await started.kill();
        throw new Error(failure(options, `was not ready within ${readyWithinMs / 1000} s`));
      }
      await wait(pollMs);
    }
  }

  return {
    start,
    async kill() {
      await running?.kill();
      running = undefined;
    },
  };
}

function failure({ name, logFile }: ServerOptions, what: string): string {
  return `${name} ${what}; the end of its log:\n${tail(logFile)}`;
}

/** The end of a file: its last 4 KiB at most, whole lines. The folder goes away, so the error carries it. */
function tail(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const length = Math.min(size, 4096);
    const bytes = Buffer.alloc(length);
    readSync(descriptor, bytes, 0, length, size - length);
    const text = bytes.toString('utf8').trimEnd();
    return length < size ? text.slice(text.indexOf('\n') + 1) : text;
  } finally {
    closeSync(descriptor);
  }
}
