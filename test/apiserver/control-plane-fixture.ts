import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandResult, ControlPlane } from '../../dev/control-plane/control-plane.ts';

/**
 * The one control plane that all test files share (test/global-setup.ts starts it), and the little every test on it
 * needs. Tests keep apart by working in namespaces of their own.
 */

let shared: ControlPlane | undefined;
let namespaces = 0;
let crds: Promise<void> | undefined;

/** For test/global-setup.ts alone. */
export function shareControlPlane(started: ControlPlane | undefined): void {
  shared = started;
}

export function controlPlane(): ControlPlane {
  if (shared === undefined) {
    throw new Error(
      'No control plane is running: tests in test/apiserver/ need test/global-setup.ts, as `npm test` has it.',
    );
  }
  return shared;
}

/** Creates the namespace `<prefix>-<something unique>` and returns its name. */
export async function createNamespace(prefix: string): Promise<string> {
  namespaces += 1;
  const name = `${prefix}-${process.pid.toString(36)}-${Date.now().toString(36)}-${namespaces}`;
  await mustRun(['create', 'namespace', name]);
  return name;
}

/** `kubectl apply` of one or more YAML or JSON documents; a refusal is a `code` and what kubectl printed. */
export function applyManifest(text: string): Promise<CommandResult> {
  return controlPlane().kubectlRun(['apply', '--filename', '-'], { input: text });
}

/** Applies every file in crds/, once for all tests, and waits until the API server serves them. */
export function installCrds(): Promise<void> {
  crds ??= applyCrds(join(import.meta.dirname, '../../crds'));
  return crds;
}

async function applyCrds(folder: string): Promise<void> {
  const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
  const named = files.flatMap((file) => ['--filename', join(folder, file)]);
  await mustRun(['apply', ...named]);
  await mustRun(['wait', '--for=condition=Established', '--timeout=30s', ...named]);
}

async function mustRun(args: readonly string[]): Promise<void> {
  const { code, stderr } = await controlPlane().kubectlRun(args);
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr.trim()}`);
}
