import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { operatorName } from '../../src/api/names.ts';
import { parseConfig } from '../../src/config.ts';
import type { Targets } from '../../src/controller/publication/targets.ts';
import { canarySecretName } from '../../src/controller/keks/kek-canary.ts';
import { runController } from '../../src/controller/run.ts';
import type { Duration } from '../../src/domain/duration.ts';
import { runJwks } from '../../src/jwks/run.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { Credentials, loadKubeConfig } from '../../src/kube/credentials.ts';
import type { KubeObject, ResourceType } from '../../src/kube/objects.ts';
import { sleep, systemClock } from '../../src/lib/clock.ts';
import { recordingLog, type RecordedLine } from '../fakes/recording-log.ts';
import { TravelClock } from '../fakes/travel-clock.ts';
import { controlPlane, installCrds } from './control-plane-fixture.ts';

/**
 * The operator as it ships, in this process: `runController` with the options that a command line gives, the sidecar beside it,
 * the operator's own ServiceAccount with the rights of deploy/, and a clock that tests move. What talks to the API server keeps
 * the system's time, for its timeouts are about real connections.
 */

export interface OperatorOptions {
  readonly namespaces: readonly string[];
  readonly clock?: TravelClock;
  /** A directory with the KEK k1 is made, and removed in the end, unless one is given. */
  readonly kekDir?: string;
  /** Options of the command line that say where KEKs come from, instead of `--kek-dir`. */
  readonly kekOptions?: readonly string[];
  /** The kubeconfig of an account with other rights than the cluster-wide ones. */
  readonly kubeconfig?: string;
  /** What the clocks seem to differ by, instead of what they do. */
  readonly clockSkew?: () => number;
  /** Called before every write; throwing stands for a write that did not happen, or for a crash before it. */
  readonly beforeWrite?: BeforeWrite;
  /** Called before every request for one object or a list, those of watches aside. */
  readonly beforeRequest?: (verb: string, type: ResourceType, name: string) => void;
  /** Watches and publishes like a replica that is not the leader, until `lead` is called. */
  readonly standby?: boolean;
  /** Of the base URL of the own sidecar: whom the operator asks what is served. */
  readonly targets?: (own: string) => readonly string[];
  /** The Service whose endpoints the operator asks, instead of `targets`. */
  readonly jwksService?: string;
}

export type BeforeWrite = (
  verb: 'create' | 'replace' | 'replaceStatus' | 'delete',
  type: ResourceType,
  object: KubeObject,
) => void | Promise<void>;

export interface Operator {
  readonly clock: TravelClock;
  readonly kekDir: string;
  /** Base URL of the sidecar. */
  readonly url: string;
  readonly lines: readonly RecordedLine[];
  lead(): void;
  /** What a scrape of the controller gets. */
  metrics(): Promise<string>;
  /** Moves time forward once the controllers rest, and waits until they rest again. */
  travel(duration: Duration): Promise<void>;
  /** Waits until no object is being reconciled or waits for it. */
  rest(): Promise<void>;
  /** Resolves when everything has stopped. */
  stop(): Promise<void>;
}

const deployFolder = join(import.meta.dirname, '../../deploy');
export const publicUrl = 'https://keys.example.org';
/** Longer than a watch event and the check of whether it was the operator's own write take. */
const restTime: Duration = 250;

let account: Promise<string> | undefined;

/** The kubeconfig of the operator's ServiceAccount, with what deploy/ grants it. */
export function operatorKubeconfig(): Promise<string> {
  account ??= install();
  return account;
}

async function install(): Promise<string> {
  await installCrds();
  for (const file of ['namespace.yaml', 'serviceaccount.yaml', 'rbac.yaml']) {
    const { code, stderr } = await controlPlane().kubectlRun(['apply', '--filename', join(deployFolder, file)]);
    if (code !== 0) throw new Error(`deploy/${file} cannot be applied: ${stderr}`);
  }
  return controlPlane().serviceAccountKubeconfig(operatorName, operatorName);
}

export async function startOperator(options: OperatorOptions): Promise<Operator> {
  const { namespaces, clock = new TravelClock() } = options;
  const { log, lines } = recordingLog();
  const folder = await mkdtemp(join(tmpdir(), 'operator-'));
  const publishDir = await mkdtemp(join(folder, 'publish-'));
  const kekDir = options.kekDir ?? (options.kekOptions ? '' : await makeKekDirectory(folder));
  const client = await ObservedClient.connect(options);
  const stopping = new AbortController();
  const { signal } = stopping;
  const registry = new Registry();
  const { promise: mayLead, resolve: lead } = Promise.withResolvers<void>();
  if (!options.standby) lead();

  const sidecar = runJwks(
    { publishDir, address: '127.0.0.1:0', adminAddress: '127.0.0.1:0', maxAge: 300, keepAlive: 3660 },
    { clock, log, registry: new Registry(), signal, drainMs: 0 },
  );
  const url = `http://${await until(() => addressIn(lines), 'the sidecar names its address')}`;
  const config = parseConfig('controller', [
    ...namespaces.map((namespace) => `--namespace=${namespace}`),
    ...(options.kekOptions ?? [`--kek-dir=${kekDir}`]),
    `--publish-dir=${publishDir}`,
    '--metrics-address=127.0.0.1:0',
    `--jwks-public-url=${publicUrl}`,
    ...(options.jwksService === undefined ? [] : [`--jwks-service=${options.jwksService}`]),
  ]);
  const targets: Targets = () => Promise.resolve(options.targets?.(url) ?? [url]);
  const controller = runController(
    config,
    { clock, log, registry, signal },
    { client, apiClock: systemClock, mayLead, ...(options.jwksService === undefined && { targets }) },
  );
  const work = Promise.all([controller, sidecar]);

  const busy = async (): Promise<boolean> => {
    const figure = async (name: string): Promise<number> =>
      (await registry.getSingleMetric(name)?.get())?.values.reduce((sum, { value }) => sum + value, 0) ?? 1;
    const names = ['workqueue_depth', 'workqueue_longest_running_processor_seconds', 'lti_key_pairs_pending'];
    const figures = await Promise.all(names.map(figure));
    return figures.some((value) => value > 0);
  };
  async function rest(): Promise<void> {
    const deadline = Date.now() + 30_000;
    for (let since = Date.now(); Date.now() - since < restTime;) {
      if (await busy()) since = Date.now();
      if (Date.now() > deadline) throw new Error('the controller does not come to rest');
      await sleep(systemClock, 10);
    }
  }

  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    stopping.abort();
    lead();
    await work;
    await rm(folder, { recursive: true, force: true });
  }

  await until(async () => (await fetch(`${url}/none`)).status === 404, 'the sidecar is in step with the API server');
  return {
    clock,
    kekDir,
    url,
    lines,
    rest,
    lead,
    metrics: () => registry.metrics(),
    async travel(duration) {
      await rest();
      clock.jump(duration);
      await rest();
    },
    stop: () => (stopped ??= stop()),
  };
}

/** A client that can be kept from writing. */
class ObservedClient extends KubeClient {
  readonly #beforeWrite: BeforeWrite | undefined;
  readonly #beforeRequest: OperatorOptions['beforeRequest'];
  readonly #clockSkew: (() => number) | undefined;

  constructor(credentials: Credentials, { beforeWrite, beforeRequest, clockSkew }: OperatorOptions) {
    super({ credentials, clock: systemClock, userAgent: operatorName });
    this.#beforeWrite = beforeWrite;
    this.#beforeRequest = beforeRequest;
    this.#clockSkew = clockSkew;
  }

  static async connect(options: OperatorOptions): Promise<ObservedClient> {
    const kubeconfig = options.kubeconfig ?? (await operatorKubeconfig());
    return new ObservedClient(new Credentials(() => loadKubeConfig([kubeconfig])), options);
  }

  override clockSkewMs(): number | undefined {
    return this.#clockSkew ? this.#clockSkew() : super.clockSkewMs();
  }

  override async get<T extends KubeObject>(type: ResourceType, namespace: string, name: string): Promise<T> {
    this.#beforeRequest?.('get', type, name);
    return super.get<T>(type, namespace, name);
  }

  override async create<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    this.#beforeRequest?.('create', type, object.metadata.name);
    await this.#beforeWrite?.('create', type, object);
    return super.create(type, object);
  }

  override async replace<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    this.#beforeRequest?.('replace', type, object.metadata.name);
    await this.#beforeWrite?.('replace', type, object);
    return super.replace(type, object);
  }

  override async replaceStatus<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    this.#beforeRequest?.('replaceStatus', type, object.metadata.name);
    await this.#beforeWrite?.('replaceStatus', type, object);
    return super.replaceStatus(type, object);
  }

  override async delete(type: ResourceType, object: KubeObject): Promise<void> {
    this.#beforeRequest?.('delete', type, object.metadata.name);
    await this.#beforeWrite?.('delete', type, object);
    return super.delete(type, object);
  }
}

/** What the operator remembers of the KEKs of earlier tests: each has a k1 of its own, as after a new installation. */
export async function forgetCanaries(): Promise<void> {
  await operatorKubeconfig();
  const { code, stderr } = await controlPlane().kubectlRun([
    'delete',
    'secret',
    canarySecretName,
    `--namespace=${operatorName}`,
    '--ignore-not-found',
  ]);
  if (code !== 0) throw new Error(`the canaries cannot be deleted: ${stderr}`);
}

/** With the KEK k1, in a folder that the operator started with it does not remove. */
export async function makeKekDirectory(folder = tmpdir()): Promise<string> {
  await forgetCanaries();
  const directory = await mkdtemp(join(folder, 'kek-'));
  await writeKek(directory, 'k1');
  await writeFile(join(directory, 'primary'), 'k1\n');
  return directory;
}

/** As `openssl rand -base64 32` prints it. */
export async function writeKek(directory: string, id: string): Promise<void> {
  await writeFile(join(directory, id), `${randomBytes(32).toString('base64')}\n`);
}

function addressIn(lines: readonly RecordedLine[]): string | undefined {
  return lines.find(({ message }) => message === 'serving JWKS')?.fields.address;
}

/** Waits until `probe` gives something, and returns that. Throws with `what` and the last error after 20 seconds. */
export async function until<T>(
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
): Promise<T> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    let problem = 'it is not so';
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      problem = error instanceof Error ? error.message : 'something was thrown';
    }
    if (Date.now() > deadline) throw new Error(`waited in vain for: ${what}: ${problem}`);
    await sleep(systemClock, 20);
  }
}
