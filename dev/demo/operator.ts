import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { operatorName } from '../../src/api/names.ts';
import type { ControlPlane, Restartable } from '../control-plane/control-plane.ts';
import { freePorts } from '../control-plane/ports.ts';
import { server } from '../control-plane/server.ts';

const root = join(import.meta.dirname, '../..');
const program = join(root, 'dist/lti-key-operator.js');
const manifests = ['namespace', 'serviceaccount', 'rbac', 'tenant-rbac', 'admission-policy'];

export interface Operator {
  /** Base of the URLs that platforms are given. */
  readonly url: string;
  /** `host:port` of the metrics of the controller. */
  readonly metricsAddress: string;
  /** `host:port` of the metrics of the sidecar. */
  readonly sidecarAdminAddress: string;
  readonly kekDirectory: string;
  readonly controller: Restartable;
  readonly sidecar: Restartable;
  stop(): Promise<void>;
}

/** What an installer applies, without the Deployment: there are no nodes here, so the processes run beside the server. */
export async function installOperator(controlPlane: ControlPlane): Promise<void> {
  const apply = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await controlPlane.kubectlRun(args);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr.trim()}`);
  };
  const crds = join(root, 'crds');
  await apply('apply', '--kustomize', crds);
  await apply(
    'wait',
    '--for=condition=Established',
    '--timeout=30s',
    'crd/ltiregistrations.ltikeys.dev',
    'crd/ltikeys.ltikeys.dev',
  );
  await apply('apply', ...manifests.map((name) => `--filename=${join(root, 'deploy', `${name}.yaml`)}`));
}

/** The built commands as the Deployment runs them: the controller with the rights of its ServiceAccount, the sidecar with none. */
export async function startOperator(controlPlane: ControlPlane): Promise<Operator> {
  const { folder } = controlPlane;
  const [jwksPort = 0, jwksAdminPort = 0, metricsPort = 0] = await freePorts(3);
  const url = `http://127.0.0.1:${jwksPort}`;
  const metricsAddress = `127.0.0.1:${metricsPort}`;
  const sidecarAdminAddress = `127.0.0.1:${jwksAdminPort}`;
  const kekDirectory = makeKek(join(folder, 'kek'));
  const publishDirectory = join(folder, 'publish');
  mkdirSync(publishDirectory);
  const kubeconfig = await controlPlane.serviceAccountKubeconfig(operatorName, operatorName);

  const command = (name: string, args: readonly string[], probe: string): Restartable =>
    server({
      name,
      program: process.execPath,
      args: [program, name, ...args],
      logFile: join(folder, `${name}.log`),
      isReady: () => answersOk(probe),
    });
  const sidecar = command(
    'jwks',
    [`--publish-dir=${publishDirectory}`, `--address=127.0.0.1:${jwksPort}`, `--admin-address=${sidecarAdminAddress}`],
    `http://${sidecarAdminAddress}/healthz`,
  );
  const controller = command(
    'controller',
    [
      `--kubeconfig=${kubeconfig}`,
      '--leader-elect',
      `--kek-dir=${kekDirectory}`,
      `--publish-dir=${publishDirectory}`,
      `--metrics-address=${metricsAddress}`,
      `--jwks-probe-url=${url}`,
      `--jwks-admin-port=${jwksAdminPort}`,
      `--jwks-public-url=${url}`,
      // The floors protect verifiers in production; here the day is shortened to seconds.
      '--minimum-overlap=1s',
      '--minimum-activation-delay=1s',
    ],
    `http://${metricsAddress}/readyz`,
  );
  const stop = async (): Promise<void> => {
    await Promise.all([controller.kill(), sidecar.kill()]);
  };
  try {
    // It is Ready on a sign of life of the controller that is younger than itself.
    await sidecar.start();
    await controller.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, metricsAddress, sidecarAdminAddress, kekDirectory, controller, sidecar, stop };
}

/** As docs tell an installer to: openssl rand -base64 32 > kek-1; echo kek-1 > primary. */
function makeKek(directory: string): string {
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(join(directory, 'kek-1'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  writeFileSync(join(directory, 'primary'), 'kek-1\n');
  return directory;
}

async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
