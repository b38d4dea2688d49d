import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { registrationPath } from '../../src/api/names.ts';
import { freePorts } from '../../dev/control-plane/ports.ts';
import { eventually, startCommand, type RunningCommand } from './command.ts';

export interface PodOptions {
  readonly kubeconfig: string;
  readonly namespace: string;
}

/** Seconds where production has days; the floors are lowered for them. */
export const loweredFloors = ['--minimum-overlap=1s', '--minimum-activation-delay=1s'];

/** The two containers of one Pod as processes on this machine: they share a publish directory and nothing else. */
export class Pod {
  readonly folder = mkdtempSync(join(tmpdir(), 'lti-pod-'));
  readonly publishDir = join(this.folder, 'publish');
  readonly kekDir = join(this.folder, 'kek');
  readonly #options: PodOptions;
  readonly #ports: readonly number[];
  readonly #started: RunningCommand[] = [];

  private constructor(options: PodOptions, ports: readonly number[]) {
    this.#options = options;
    this.#ports = ports;
    mkdirSync(this.publishDir);
    makeKekDirectory(this.kekDir);
  }

  static async create(options: PodOptions): Promise<Pod> {
    return new Pod(options, await freePorts(3));
  }

  get jwksUrl(): string {
    return `http://127.0.0.1:${this.#ports[0]}`;
  }

  get sidecarAdminUrl(): string {
    return `http://127.0.0.1:${this.#ports[1]}`;
  }

  get controllerAdminUrl(): string {
    return `http://127.0.0.1:${this.#ports[2]}`;
  }

  registrationUrl(name: string): string {
    return this.jwksUrl + registrationPath(this.#options.namespace, name);
  }

  startController(extra: readonly string[] = [`--jwks-probe-url=${this.jwksUrl}`]): RunningCommand {
    const { kubeconfig, namespace } = this.#options;
    return this.#start([
      'controller',
      `--kubeconfig=${kubeconfig}`,
      `--namespace=${namespace}`,
      `--kek-dir=${this.kekDir}`,
      `--publish-dir=${this.publishDir}`,
      `--metrics-address=127.0.0.1:${this.#ports[2]}`,
      ...loweredFloors,
      '--log-level=debug',
      ...extra,
    ]);
  }

  startSidecar(): RunningCommand {
    return this.#start([
      'jwks',
      `--publish-dir=${this.publishDir}`,
      `--address=127.0.0.1:${this.#ports[0]}`,
      `--admin-address=127.0.0.1:${this.#ports[1]}`,
      '--log-level=debug',
    ]);
  }

  /** Replicas of one Deployment mount the same KEK. */
  shareKek(other: Pod): void {
    cpSync(other.kekDir, this.kekDir, { recursive: true });
  }

  async ready(): Promise<void> {
    await eventually('the sidecar is ready', async () => (await fetch(`${this.sidecarAdminUrl}/readyz`)).ok);
  }

  /** Everything that its processes, gone or not, have said. */
  output(): string {
    return this.#started.map((running) => running.output()).join('');
  }

  async remove(): Promise<void> {
    await Promise.all(this.#started.map((running) => running.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  #start(args: readonly string[]): RunningCommand {
    const running = startCommand(this.folder, args);
    this.#started.push(running);
    return running;
  }
}

/** A KEK directory as docs/configuration.md describes it; the ID is not used twice, for the operator remembers each. */
export function makeKekDirectory(folder: string): void {
  const id = `kek-${randomBytes(6).toString('hex')}`;
  mkdirSync(folder);
  writeFileSync(join(folder, id), `${randomBytes(32).toString('base64')}\n`);
  writeFileSync(join(folder, 'primary'), `${id}\n`);
}
