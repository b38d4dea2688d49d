import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { registrationPath } from '../../src/api/names.ts';
import type { ControlPlane } from '../control-plane/control-plane.ts';
import { freePorts } from '../control-plane/ports.ts';
import { spawnTied, type TiedProcess } from '../control-plane/tied-process.ts';
import { Prometheus } from './prometheus.ts';

const program = join(import.meta.dirname, '../../dist/lti-key-operator.js');

/** Registrations in the states that the dashboards tell apart, with days shortened to seconds. */
const quick = { activationDelay: '2s', overlap: '2s', rotateAfter: '1h' };
const specs: Readonly<Record<string, object>> = {
  canvas: quick,
  moodle: { ...quick, rotateAfter: '2d' },
  // Its key is never pasted at the platform.
  blackboard: { ...quick, keyDistribution: 'Manual' },
  sakai: { ...quick, suspend: true },
  // Below --minimum-overlap, so that it is stalled.
  brightspace: { ...quick, overlap: '1s' },
  'former-lms': quick,
};

export interface SceneOptions {
  readonly controlPlane: ControlPlane;
  /** Of the operator's ServiceAccount. */
  readonly kubeconfig: string;
  /** Exists and has no registration. */
  readonly namespace: string;
}

/** The built operator with two sidecars, and a Prometheus that scrapes them: what the dashboards are tested and drawn with. */
export class Scene {
  readonly prometheus: Prometheus;
  readonly metricsUrls: Readonly<Record<'controller' | 'jwks', string>>;
  readonly #options: SceneOptions;
  readonly #folder: string;
  readonly #jwksUrl: string;
  readonly #processes: readonly TiedProcess[];
  readonly #traffic = new AbortController();

  private constructor(
    options: SceneOptions,
    folder: string,
    ports: Ports,
    processes: readonly TiedProcess[],
    prometheus: Prometheus,
  ) {
    this.#options = options;
    this.#folder = folder;
    this.#processes = processes;
    this.#jwksUrl = url(ports.jwks);
    this.metricsUrls = { controller: `${url(ports.metrics)}/metrics`, jwks: `${url(ports.admin)}/metrics` };
    this.prometheus = prometheus;
  }

  static async start(options: SceneOptions): Promise<Scene> {
    const [jwks = 0, admin = 0, tls = 0, tlsAdmin = 0, metrics = 0] = await freePorts(5);
    const ports = { jwks, admin, tls, tlsAdmin, metrics };
    const folder = mkdtempSync(join(tmpdir(), 'dashboards-'));
    const processes = startProcesses(options, folder, ports);
    const address = (port: number): string => `127.0.0.1:${port}`;
    const pod = 'lti-key-operator-0';
    const prometheus = await Prometheus.start([
      { address: address(metrics), pod, container: 'controller', port: 'metrics' },
      { address: address(admin), pod, container: 'jwks', port: 'admin' },
      { address: address(tlsAdmin), pod: 'lti-key-operator-1', container: 'jwks', port: 'admin' },
    ]);
    const scene = new Scene(options, folder, ports, processes, prometheus);
    void scene.#fetchKeys();
    return scene;
  }

  /** Brings every registration into its state: a rotation, a revocation, an orphan, and a key ID that does not exist. */
  async play(): Promise<void> {
    for (const [name, spec] of Object.entries(specs)) await this.#apply(name, spec);
    await this.#until('canvas', 'Active');
    await this.#until('former-lms', 'Active');
    await this.#kubectl('delete', 'ltiregistration', 'former-lms', '--wait=false');
    await this.rotate('one');
    await this.#until('canvas', 'Retired,Active');
    const keys = await this.#keys('canvas');
    await this.#patch('canvas', { revokedKeyIDs: [keys[1]!.keyID, 'unknown'] });
    await this.#until('canvas', 'Retired,Revoked,Active');
  }

  async rotate(trigger: string): Promise<void> {
    await this.#patch('canvas', { rotationTrigger: trigger });
  }

  async stop(): Promise<void> {
    this.#traffic.abort();
    // The controller releases its Lease.
    for (const { pid, exited } of this.#processes) {
      process.kill(pid, 'SIGTERM');
      await Promise.race([exited, wait(5000)]);
    }
    await Promise.all(this.#processes.map((running) => running.kill()));
    await this.prometheus.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** As platforms do: known documents, and one that does not exist. */
  async #fetchKeys(): Promise<void> {
    const { namespace } = this.#options;
    for (let round = 0; !this.#traffic.signal.aborted; round++) {
      const name = round % 5 === 0 ? 'typo' : round % 2 === 0 ? 'moodle' : 'canvas';
      const response = await fetch(this.#jwksUrl + registrationPath(namespace, name)).catch(() => undefined);
      await response?.body?.cancel();
      await wait(100);
    }
  }

  async #apply(name: string, spec: object): Promise<void> {
    const manifest = {
      apiVersion: 'ltikeys.dev/v1alpha1',
      kind: 'LtiRegistration',
      metadata: { name, namespace: this.#options.namespace },
      spec: { issuer: 'https://platform.example', delivery: { secretName: `${name}-signing-key` }, ...spec },
    };
    await this.#kubectlWith(JSON.stringify(manifest), 'apply', '--filename', '-');
  }

  async #patch(name: string, spec: object): Promise<void> {
    await this.#kubectl('patch', 'ltiregistration', name, '--type=merge', '--patch', JSON.stringify({ spec }));
  }

  async #until(name: string, states: string): Promise<void> {
    const deadline = performance.now() + 60_000;
    for (;;) {
      const now = (await this.#keys(name)).map(({ state }) => state).join();
      if (now === states) return;
      if (performance.now() > deadline) throw new Error(`the keys of ${name} are ${now} and not ${states}`);
      await wait(200);
    }
  }

  async #keys(name: string): Promise<readonly { keyID: string; state: string | undefined }[]> {
    interface Item {
      readonly spec: { readonly keyID: string; readonly revision: number; registrationRef: { name: string } };
      readonly status?: { readonly state?: string };
    }
    const { items } = JSON.parse(await this.#kubectl('get', 'ltikeys', '--output', 'json')) as { items: Item[] };
    return items
      .filter(({ spec }) => spec.registrationRef.name === name)
      .toSorted((a, b) => a.spec.revision - b.spec.revision)
      .map(({ spec, status }) => ({ keyID: spec.keyID, state: status?.state }));
  }

  #kubectl(...args: readonly string[]): Promise<string> {
    return this.#kubectlWith('', ...args);
  }

  async #kubectlWith(input: string, ...args: readonly string[]): Promise<string> {
    const { controlPlane, namespace } = this.#options;
    const { code, stdout, stderr } = await controlPlane.kubectlRun([...args, `--namespace=${namespace}`], { input });
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr.trim()}`);
    return stdout;
  }
}

type Ports = Readonly<Record<'jwks' | 'admin' | 'tls' | 'tlsAdmin' | 'metrics', number>>;

const url = (port: number): string => `http://127.0.0.1:${port}`;

function startProcesses({ kubeconfig, namespace }: SceneOptions, folder: string, ports: Ports): TiedProcess[] {
  const publishDir = join(folder, 'publish');
  const kekDir = join(folder, 'kek');
  const [certificate, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  mkdirSync(publishDir);
  mkdirSync(kekDir);
  // The operator records each ID with its key, so an ID is not used twice.
  const kekID = `kek-${randomBytes(6).toString('hex')}`;
  writeFileSync(join(kekDir, kekID), `${randomBytes(32).toString('base64')}\n`);
  writeFileSync(join(kekDir, 'primary'), `${kekID}\n`);
  const subject = ['-subj', '/CN=keys.example.org', '-days', '90', '-out', certificate, '-keyout', key];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject], { stdio: 'ignore' });

  const start = (name: string, ...args: readonly string[]): TiedProcess =>
    spawnTied({
      program: process.execPath,
      args: [program, name, `--publish-dir=${publishDir}`, ...args],
      logFile: join(folder, 'log'),
    });
  const sidecar = (port: number, admin: number, ...more: readonly string[]): TiedProcess =>
    start('jwks', `--address=127.0.0.1:${port}`, `--admin-address=127.0.0.1:${admin}`, ...more);
  return [
    sidecar(ports.jwks, ports.admin),
    sidecar(ports.tls, ports.tlsAdmin, `--tls-cert=${certificate}`, `--tls-key=${key}`),
    start(
      'controller',
      '--leader-elect',
      `--kubeconfig=${kubeconfig}`,
      `--namespace=${namespace}`,
      `--kek-dir=${kekDir}`,
      `--metrics-address=127.0.0.1:${ports.metrics}`,
      `--jwks-probe-url=${url(ports.jwks)}`,
      '--minimum-overlap=2s',
      '--minimum-activation-delay=1s',
    ),
  ];
}
