import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { residentMiB } from './process-figures.ts';

/** A child process that exchanges lines, pinned to one core if there is a taskset. `args` are Node's by default. */
export class Child {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(
    core: number,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    program = process.execPath,
  ) {
    const pinned = spawnSync('taskset', ['-c', String(core), 'true']).status === 0;
    const [file = '', ...rest] = [...(pinned ? ['taskset', '-c', String(core)] : []), program, ...args];
    this.#process = spawn(file, rest, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
    if (this.#process.stdout === null) throw new Error('the child has no output');
    this.#lines = createInterface(this.#process.stdout)[Symbol.asyncIterator]();
  }

  async line(containing: string): Promise<string> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error('a process of the measurement ended early');
      if (value.includes(containing)) return value;
    }
  }

  /** The port in the line with the listening address. */
  async port(containing: string): Promise<number> {
    const { address }: { address: string } = JSON.parse(await this.line(containing));
    return Number(address.split(':').at(-1));
  }

  write(job: object): void {
    this.#process.stdin?.write(`${JSON.stringify(job)}\n`);
  }

  residentMiB(): { readonly now: number; readonly peak: number } {
    return residentMiB(this.#process.pid ?? 0);
  }

  /** The peak since the process started, or since `forgetPeak`. */
  peakMiB(): number {
    return residentMiB(this.#process.pid ?? 0).peak;
  }

  forgetPeak(): void {
    writeFileSync(`/proc/${this.#process.pid}/clear_refs`, '5');
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'exit');
  }
}
