import { execFile } from 'node:child_process';

export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
}

/** Runs a program to its end. @throws Error with the command and the end of what it said when it fails */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { input, ...rest } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { ...rest, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) return resolve({ stdout, stderr });
      const said = `${stdout}\n${stderr}`.trim().split('\n').slice(-20).join('\n');
      reject(new Error(`${program} ${args.join(' ')} failed (${error.code ?? error.signal}):\n${said}`));
    });
    // A program that fails before it has read everything closes the pipe; its exit code says so.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}
