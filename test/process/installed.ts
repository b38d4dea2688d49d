import { existsSync, readdirSync, statSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';

/** What has to be there before the built commands can run against a control plane as the operator's own account. */

const root = join(import.meta.dirname, '../..');
export const command = join(root, 'dist/lti-key-operator.js');
export const operatorAccount = 'system:serviceaccount:lti-key-operator:lti-key-operator';

/** CRDs, namespace, account and rights as deploy/ has them; returns the kubeconfig of the operator's ServiceAccount. */
export async function installOperator(plane: ControlPlane): Promise<string> {
  const crds = readdirSync(join(root, 'crds')).filter((file) => file.endsWith('.yaml'));
  const named = crds.flatMap((file) => ['--filename', join(root, 'crds', file)]);
  await kubectl(plane, ['apply', ...named]);
  await kubectl(plane, ['wait', '--for=condition=Established', '--timeout=30s', ...named]);
  for (const file of ['namespace', 'serviceaccount', 'rbac']) {
    await kubectl(plane, ['apply', '--filename', join(root, 'deploy', `${file}.yaml`)]);
  }
  return plane.serviceAccountKubeconfig('lti-key-operator', 'lti-key-operator');
}

/** The output of kubectl as the administrator; throws with its words when it fails. */
export async function kubectl(plane: ControlPlane, args: readonly string[], input?: string): Promise<string> {
  const { code, stdout, stderr } = await plane.kubectlRun(args, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr.trim()}`);
  return stdout;
}

/** Builds dist/ unless it is newer than every source. */
export async function buildIfStale(): Promise<void> {
  const built = existsSync(command) ? statSync(command).mtimeMs : 0;
  const sources = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true });
  const newest = Math.max(
    ...sources.filter((file) => file.isFile()).map((file) => statSync(join(file.parentPath, file.name)).mtimeMs),
  );
  if (newest > built) await promisify(execFile)(process.execPath, [join(root, 'dev/build.ts')], { cwd: root });
}
