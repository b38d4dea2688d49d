import { spawn } from 'node:child_process';

/**
 * PID 1 of a sandbox. It takes in orphans, and ends when its program does or when the pipe on its standard input closes,
 * which the kernel does when the process that made the sandbox ends in whatever way. The kernel then kills everything
 * else in the PID namespace, and network and mounts go with the last process.
 */
const init = `exec 3<&0
"$@" 3<&- </dev/null & program=$!
(read -r _ <&3; kill -KILL $program) &
wait $program`;

export interface SandboxOptions {
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** False: the network of this machine, to fetch packages. */
  readonly ownNetwork: boolean;
}

export interface Sandbox {
  /** The exit code of the program. Never rejects. */
  readonly ended: Promise<number>;
  /** Kills everything in it. */
  stop(): Promise<void>;
}

/** Runs this Node.js with `args` in namespaces of its own: processes, mounts and, if asked for, network. */
export function startSandbox({ args, env, ownNetwork }: SandboxOptions): Sandbox {
  const namespaces = ['--mount', '--propagation=private', '--pid', '--fork', '--kill-child', '--mount-proc', '--ipc'];
  if (ownNetwork) namespaces.push('--net');
  const child = spawn('unshare', [...namespaces, '/bin/sh', '-c', init, 'sh', process.execPath, ...args], {
    // A session of its own, so that Ctrl-C reaches only the process that decides what it means.
    detached: true,
    stdio: ['pipe', 'inherit', 'inherit'],
    env,
  });
  const ended = new Promise<number>((resolve) => {
    child.on('error', () => resolve(1));
    child.on('exit', (code) => resolve(code ?? 1));
  });
  return {
    ended,
    async stop() {
      child.stdin?.destroy();
      await ended;
    },
  };
}
