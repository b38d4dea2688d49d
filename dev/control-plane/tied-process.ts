import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

/**
 * A program that never outlives this process, however this process ends (SIGKILL included), and everything it
 * started with it.
 *
 * The program leads a process group of its own. Beside it waits a shell that reads a pipe only this process holds open;
 * the kernel closes that pipe whenever this process ends, and the shell then kills the group it is in. It needs
 * nothing beyond POSIX `sh`, so it works on Linux and macOS alike. A terminal's Ctrl-C does not reach the group, so
 * things stop in the order we choose.
 */
export interface TiedProcess {
  readonly pid: number;
  /** Resolves with the exit code, or the signal's name, when the program has ended. Never rejects. */
  readonly exited: Promise<number | string>;
  /** Kills the group with SIGKILL and waits until the program is gone. */
  kill(): Promise<void>;
}

const killGroupWhenPipeCloses = 'exec 3<&0; (read -r _ <&3; kill -KILL 0) & exec "$@" 3<&- </dev/null';

export interface TiedProcessOptions {
  readonly program: string;
  readonly args: readonly string[];
  /** Standard output and standard error are appended to this file. */
  readonly logFile: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export function spawnTied({ program, args, logFile, cwd, env }: TiedProcessOptions): TiedProcess {
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn('/bin/sh', ['-c', killGroupWhenPipeCloses, 'sh', program, ...args], {
    detached: true,
    stdio: ['pipe', log, log],
    ...(cwd !== undefined && { cwd }),
    ...(env !== undefined && { env }),
  });
  closeSync(log);
  const exited = new Promise<number | string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  // A program that ended by itself leaves the waiting shell (and perhaps children) behind: closing the pipe ends them.
  const reaped = exited.then(() => child.stdin?.destroy());
  return {
    pid: child.pid ?? -1,
    exited,
    async kill() {
      child.kill('SIGKILL');
      await reaped;
    },
  };
}
