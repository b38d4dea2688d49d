import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { ControlPlane } from '../dev/control-plane/control-plane.ts';
import { freePorts } from '../dev/control-plane/ports.ts';
import { spawnTied, type TiedProcess } from '../dev/control-plane/tied-process.ts';
import { startControlPlane } from '../dev/control-plane/start.ts';
import { jwksContainer } from '../dev/jwks-container.ts';
import { KubeClient } from '../src/kube/client.ts';
import { systemClock } from '../src/lib/clock.ts';
import { command, environment } from './bundle.ts';

/** The operator as the Deployment runs it: both containers' processes, the manifests of deploy/, its own ServiceAccount. */
export interface RunningOperator {
  /** The present one. */
  readonly controller: TiedProcess;
  readonly sidecar: TiedProcess;
  /** Base URL of what the sidecar serves. */
  readonly jwksUrl: string;
  readonly metricsUrl: string;
  /** The controller's metrics in Prometheus' text format. */
  metrics(): Promise<string>;
  /** Kills the controller, without an orderly shutdown, and starts another one, with these options too. Resolves when that one leads. */
  restartController(...options: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

export const operatorNamespace = 'lti-key-operator';
const root = join(import.meta.dirname, '..');

export interface Bed {
  readonly plane: ControlPlane;
  /** Of an administrator. */
  readonly client: KubeClient;
  readonly operator: RunningOperator;
}

/** Measures with an operator on a control plane of its own, in which `namespace` is there, and stops all of it. */
export async function withOperator<T>(namespace: string, measure: (bed: Bed) => Promise<T>): Promise<T> {
  const plane = await startControlPlane();
  const client = KubeClient.load({ kubeconfig: plane.kubeconfig, clock: systemClock });
  let operator: RunningOperator | undefined;
  try {
    operator = await startOperator(plane);
    await kubectl(plane, ['create', 'namespace', namespace]);
    return await measure({ plane, client, operator });
  } finally {
    await client.close();
    await operator?.stop();
    await plane.stop();
  }
}

async function startOperator(plane: ControlPlane): Promise<RunningOperator> {
  for (const path of [
    ['--filename', 'deploy/namespace.yaml'],
    ['--filename', 'crds'],
    ['--kustomize', 'deploy'],
  ]) {
    const [flag = '', what = ''] = path;
    await kubectl(plane, ['apply', flag, join(root, what)]);
  }
  await kubectl(plane, ['wait', '--for=condition=Established', '--timeout=30s', '--filename', join(root, 'crds')]);
  const kubeconfig = await plane.serviceAccountKubeconfig(operatorNamespace, 'lti-key-operator');
  const folder = mkdtempSync(join(tmpdir(), 'operator-bench-'));
  const [jwksPort = 0, adminPort = 0, metricsPort = 0] = await freePorts(3);
  const publishDir = join(folder, 'publish');
  mkdirSync(publishDir);
  const start = (
    name: 'controller' | 'jwks',
    node: { readonly arguments: readonly string[]; readonly env: Readonly<Record<string, string>> },
    args: readonly string[],
  ): TiedProcess =>
    spawnTied({
      program: process.execPath,
      args: [...node.arguments, name, '--publish-dir', publishDir, ...args],
      env: { ...process.env, ...node.env },
      logFile: join(folder, `${name}.log`),
      cwd: folder,
    });
  const image = { arguments: command, env: environment };
  const { nodeArguments, env } = jwksContainer(publishDir);
  const kekDir = keyEncryptionKeys(folder);
  const startController = (...options: readonly string[]): TiedProcess =>
    start('controller', image, [
      '--leader-elect',
      `--kubeconfig=${kubeconfig}`,
      `--kek-dir=${kekDir}`,
      `--metrics-address=127.0.0.1:${metricsPort}`,
      `--jwks-probe-url=http://127.0.0.1:${jwksPort}`,
      ...options,
    ]);
  let controller = startController();
  const sidecar = start('jwks', { arguments: nodeArguments, env: { ...environment, ...env } }, [
    `--address=127.0.0.1:${jwksPort}`,
    `--admin-address=127.0.0.1:${adminPort}`,
  ]);
  const metricsUrl = `http://127.0.0.1:${metricsPort}/metrics`;
  const operator: RunningOperator = {
    get controller() {
      return controller;
    },
    sidecar,
    jwksUrl: `http://127.0.0.1:${jwksPort}`,
    metricsUrl,
    async metrics() {
      return (await fetch(metricsUrl)).text();
    },
    async restartController(...options) {
      await controller.kill();
      controller = startController(...options);
      await untilReady(metricsPort, controller.exited);
      await untilLeading(operator);
    },
    async stop() {
      await Promise.all([controller.kill(), sidecar.kill()]);
      rmSync(folder, { recursive: true });
    },
  };
  const ended = Promise.race([controller.exited, sidecar.exited]);
  try {
    for (const port of [metricsPort, adminPort]) await untilReady(port, ended);
    await untilLeading(operator);
  } catch (error) {
    await operator.stop();
    throw error;
  }
  return operator;
}

function keyEncryptionKeys(folder: string): string {
  const directory = join(folder, 'kek');
  mkdirSync(directory);
  writeFileSync(join(directory, 'k1'), `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  writeFileSync(join(directory, 'primary'), 'k1\n', { mode: 0o600 });
  return directory;
}

async function untilReady(port: number, ended: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  void ended.then(() => over.abort());
  while (!over.signal.aborted) {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
    if (response?.ok) return;
    await wait(100);
  }
  throw new Error('a process of the operator ended before it was ready');
}

async function untilLeading(operator: RunningOperator): Promise<void> {
  while (!/^leader_election_master_status\S* 1$/m.test(await operator.metrics())) await wait(100);
}

async function kubectl(plane: ControlPlane, args: readonly string[]): Promise<void> {
  const { code, stderr } = await plane.kubectlRun(args);
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr.trim()}`);
}
