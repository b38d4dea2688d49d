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

export const operatorNamespace = 'lti-key-operator';
const root = join(import.meta.dirname, '..');

export interface Bed {
  readonly plane: ControlPlane;
  /** An administrator's. */
  readonly client: KubeClient;
  /** The replica that leads. */
  readonly operator: Replica;
  /** The other replica, if there are two. */
  readonly follower: Replica | undefined;
}

export interface OperatorOptions {
  readonly replicas?: 1 | 2;
  /** Further options of each controller. */
  readonly controllerOptions?: readonly string[];
}

/** Runs `measure` with an operator on a control plane of its own, in which `namespace` exists, and stops all of it. */
export async function withOperator<T>(
  namespace: string,
  measure: (bed: Bed) => Promise<T>,
  options: OperatorOptions = {},
): Promise<T> {
  const plane = await startControlPlane();
  const client = KubeClient.load({ kubeconfig: plane.kubeconfig, clock: systemClock });
  const folder = mkdtempSync(join(tmpdir(), 'operator-bench-'));
  let replicas: readonly Replica[] = [];
  try {
    replicas = await prepareReplicas(plane, folder, options);
    const [operator, follower] = replicas;
    if (!operator) throw new Error('there must be a replica');
    await operator.start();
    await operator.untilLeading();
    await follower?.start();
    await kubectl(plane, ['create', 'namespace', namespace]);
    return await measure({ plane, client, operator, follower });
  } finally {
    await client.close();
    await Promise.all(replicas.map((replica) => replica.stop()));
    rmSync(folder, { recursive: true });
    await plane.stop();
  }
}

async function prepareReplicas(
  plane: ControlPlane,
  folder: string,
  { replicas = 1, controllerOptions = [] }: OperatorOptions,
): Promise<readonly Replica[]> {
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
  const ports = await freePorts(3 * replicas);
  const portsOf = ports.flatMap((jwks, index) =>
    index % 3 === 0 ? [{ jwks, admin: ports[index + 1]!, metrics: ports[index + 2]! }] : [],
  );
  const options = [
    '--leader-elect',
    `--kubeconfig=${kubeconfig}`,
    `--kek-dir=${keyEncryptionKeys(folder)}`,
    ...portsOf.map(({ jwks }) => `--jwks-probe-url=http://127.0.0.1:${jwks}`),
    ...controllerOptions,
  ];
  return portsOf.map((itsPorts, index) => new Replica(join(folder, `replica-${index}`), itsPorts, options));
}

interface Ports {
  readonly jwks: number;
  readonly admin: number;
  readonly metrics: number;
}

/** One Pod of the Deployment: the processes of both containers, started as the image starts them. */
export class Replica {
  readonly #folder: string;
  readonly #publishDir: string;
  readonly #ports: Ports;
  readonly #options: readonly string[];
  #controller: TiedProcess | undefined;
  #sidecar: TiedProcess | undefined;

  constructor(folder: string, ports: Ports, options: readonly string[]) {
    this.#folder = folder;
    this.#publishDir = join(folder, 'publish');
    this.#ports = ports;
    this.#options = options;
  }

  /** The current one. */
  get controller(): TiedProcess {
    return started(this.#controller);
  }

  get sidecar(): TiedProcess {
    return started(this.#sidecar);
  }

  /** Base URL of what the sidecar serves. */
  get jwksUrl(): string {
    return `http://127.0.0.1:${this.#ports.jwks}`;
  }

  get metricsUrl(): string {
    return `http://127.0.0.1:${this.#ports.metrics}/metrics`;
  }

  /** The controller's metrics in Prometheus' text format. */
  async metrics(): Promise<string> {
    return (await fetch(this.metricsUrl)).text();
  }

  /** Starts both processes with an empty publish directory. Resolves when both are ready. */
  async start(): Promise<void> {
    const { jwks, admin, metrics } = this.#ports;
    mkdirSync(this.#publishDir, { recursive: true });
    this.#controller = this.#startController();
    const { nodeArguments, env } = jwksContainer(this.#publishDir);
    this.#sidecar = this.#spawn('jwks', { arguments: nodeArguments, env: { ...environment, ...env } }, [
      `--address=127.0.0.1:${jwks}`,
      `--admin-address=127.0.0.1:${admin}`,
    ]);
    const ended = Promise.race([this.controller.exited, this.sidecar.exited]);
    for (const port of [metrics, admin]) await untilReady(port, ended);
  }

  /** Kills both processes, without an orderly shutdown, and starts them again. */
  async restart(): Promise<void> {
    await this.stop();
    rmSync(this.#publishDir, { recursive: true });
    await this.start();
  }

  /** Kills the controller, and starts another one, with these options too. Resolves when that one leads. */
  async restartController(...options: readonly string[]): Promise<void> {
    await this.controller.kill();
    this.#controller = this.#startController(...options);
    await untilReady(this.#ports.metrics, this.controller.exited);
    await this.untilLeading();
  }

  async untilLeading(): Promise<void> {
    while (!/^leader_election_master_status\S* 1$/m.test(await this.metrics())) await wait(100);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#controller?.kill(), this.#sidecar?.kill()]);
  }

  #startController(...options: readonly string[]): TiedProcess {
    const metricsAddress = `--metrics-address=127.0.0.1:${this.#ports.metrics}`;
    const image = { arguments: command, env: environment };
    return this.#spawn('controller', image, [...this.#options, metricsAddress, ...options]);
  }

  #spawn(
    name: 'controller' | 'jwks',
    node: { readonly arguments: readonly string[]; readonly env: Readonly<Record<string, string>> },
    args: readonly string[],
  ): TiedProcess {
    return spawnTied({
      program: process.execPath,
      args: [...node.arguments, name, '--publish-dir', this.#publishDir, ...args],
      env: { ...process.env, ...node.env },
      logFile: join(this.#folder, `${name}.log`),
      cwd: this.#folder,
    });
  }
}

function started(one: TiedProcess | undefined): TiedProcess {
  if (!one) throw new Error('the replica has not started');
  return one;
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

async function kubectl(plane: ControlPlane, args: readonly string[]): Promise<void> {
  const { code, stderr } = await plane.kubectlRun(args);
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr.trim()}`);
}
