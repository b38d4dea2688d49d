import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startControlPlane } from '../dev/control-plane/start.ts';

export interface BareRun {
  readonly count: number;
  readonly seconds: number;
  /** The CPU of the client, key generation included. */
  readonly cpuSeconds: number;
}

/** Generates the keys and sends the requests of `count` registrations with a bare client, on a control plane of its own. */
export async function bareRun(count: number): Promise<BareRun> {
  const plane = await startControlPlane();
  try {
    for (const args of [
      ['apply', '--filename', join(import.meta.dirname, '../crds')],
      ['wait', '--for=condition=Established', '--timeout=30s', '--filename', join(import.meta.dirname, '../crds')],
      ['create', 'namespace', 'bare'],
    ]) {
      const { code, stderr } = await plane.kubectlRun(args);
      if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr.trim()}`);
    }
    const script = join(import.meta.dirname, 'bare-client.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [script, plane.kubeconfig, 'bare', String(count)]);
    return { count, ...JSON.parse(stdout) };
  } finally {
    await plane.stop();
  }
}
