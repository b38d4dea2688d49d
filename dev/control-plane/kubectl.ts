import { execFile } from 'node:child_process';
import { join } from 'node:path';
import type { CommandResult, ControlPlane } from './control-plane.ts';
import { writeKubeconfig } from './kubeconfig.ts';

const longestOutput = 64 * 1024 * 1024;

/** The parts of a {@link ControlPlane} that are kubectl's work. */
export function kubectlOf(
  kubectl: string,
  { kubeconfig, folder, url, caFile }: Pick<ControlPlane, 'kubeconfig' | 'folder' | 'url' | 'caFile'>,
): Pick<ControlPlane, 'kubectl' | 'kubectlRun' | 'serviceAccountKubeconfig'> {
  // The discovery cache is keyed by host and port, which another control plane may have had before.
  const env = { ...process.env, KUBECONFIG: kubeconfig, KUBECACHEDIR: join(folder, 'kubectl'), KUBERC: 'off' };

  const kubectlRun: ControlPlane['kubectlRun'] = (args, { input } = {}) =>
    new Promise<CommandResult>((resolve, reject) => {
      const child = execFile(kubectl, args, { env, maxBuffer: longestOutput }, (error, stdout, stderr) => {
        if (error !== null && typeof error.code !== 'number') return reject(error);
        resolve({ stdout, stderr, code: Number(error?.code ?? 0) });
      });
      // A kubectl that fails before it has read everything closes the pipe; its exit code says so.
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(input);
    });

  return {
    kubectl,
    kubectlRun,
    async serviceAccountKubeconfig(namespace, name) {
      const made = await kubectlRun(['create', 'token', name, '--namespace', namespace, '--duration=24h']);
      if (made.code !== 0) {
        throw new Error(`No token for ServiceAccount ${namespace}/${name}: ${made.stderr.trim()}`);
      }
      const file = join(folder, `${namespace}_${name}.kubeconfig`);
      return writeKubeconfig(file, { url, caFile, user: name, token: made.stdout.trim(), namespace });
    },
  };
}
