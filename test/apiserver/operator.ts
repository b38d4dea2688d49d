import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { ltiKeys, ltiRegistrations, operatorName } from '../../src/api/names.ts';
import type { LtiKey, LtiRegistration } from '../../src/api/objects.ts';
import { KekWatch } from '../../src/controllers/kek-watch.ts';
import { ServedDocuments } from '../../src/controllers/publication/documents.ts';
import { publicationObserver } from '../../src/controllers/publication/observer.ts';
import { Reconciling } from '../../src/controllers/reconciling.ts';
import { registrationOf } from '../../src/controllers/watch.ts';
import { FileKekProvider } from '../../src/crypto/file-kek-provider.ts';
import type { KekProvider } from '../../src/crypto/keyring.ts';
import type { Duration } from '../../src/domain/duration.ts';
import { hour, minute } from '../../src/domain/duration.ts';
import { runJwks } from '../../src/jwks/run.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { Credentials, loadKubeConfig } from '../../src/kube/credentials.ts';
import { KubeEventRecorder } from '../../src/kube/events.ts';
import type { KubeObject, ResourceType } from '../../src/kube/objects.ts';
import { watching } from '../../src/kube/watching.ts';
import type { WorkQueueFigures } from '../../src/kube/workqueue.ts';
import { sleep, systemClock } from '../../src/lib/clock.ts';
import { publishing } from '../../src/publish/run.ts';
import { recordingLog, type RecordedLine } from '../fakes/recording-log.ts';
import { TravelClock } from '../fakes/travel-clock.ts';
import { controlPlane, installCrds } from './bed.ts';

/**
 * The operator as src/controllers/run.ts wires it and the sidecar beside it, in this process: real controllers, real
 * publishing and serving, the operator's own ServiceAccount with the rights of deploy/rbac.yaml, and a clock that tests
 * move. What talks to the API server keeps the system's time, for its timeouts are about real connections.
 */

export interface OperatorOptions {
  readonly namespaces: readonly string[];
  readonly clock?: TravelClock;
  /** A directory with the KEK k1 is made, and removed in the end, unless one is given. */
  readonly kekDir?: string;
  /** Where KEKs come from instead. */
  readonly keks?: (clock: TravelClock, client: KubeClient) => KekProvider;
  readonly clockSkew?: () => number;
  /** Called before every write; throwing stands for a write that did not happen, or for a crash before it. */
  readonly beforeWrite?: BeforeWrite;
  /** Watches and publishes like a replica that is not the leader, until `lead` is called. */
  readonly standby?: boolean;
  /** Of the base URL of the own sidecar: whom the operator asks what is served. */
  readonly targets?: (own: string) => readonly string[];
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
  const kekDir = options.kekDir ?? (await makeKekDirectory(folder));
  const kubeconfig = await operatorKubeconfig();
  const credentials = new Credentials(() => loadKubeConfig(kubeconfig));
  const client = new ObservedClient(credentials, options.beforeWrite);
  const stopping = new AbortController();
  const { signal } = stopping;

  const system = { client, clock: systemClock, log };
  const registrations = watching<LtiRegistration>({ ...system, type: ltiRegistrations, namespaces });
  const keys = watching<LtiKey>({ ...system, type: ltiKeys, namespaces, indexers: { registration: registrationOf } });
  const shared = { client, clock, log };
  const publisher = publishing({ ...shared, directory: publishDir, all: true, keys });
  const sidecar = runJwks(
    { publishDir, address: '127.0.0.1:0', adminAddress: '127.0.0.1:0', maxAge: 300 },
    { clock, logger: log, registry: new Registry(), signal, drainMs: 0 },
  );
  const url = `http://${await until(() => addressIn(lines), 'the sidecar names its address')}`;

  const keks = options.keks?.(clock, client) ?? new FileKekProvider({ directory: kekDir, clock });
  const kekWatch = new KekWatch({ keks, clock, log, changed: () => reconciling.enqueueAll() });
  const documents = new ServedDocuments(clock);
  const events = new KubeEventRecorder({ ...system, instance: 'test' });
  const figures = new Map<string, () => WorkQueueFigures>();
  const targets = (): readonly string[] => options.targets?.(url) ?? [url];
  const ignore = (): void => undefined;
  const reconciling = new Reconciling({
    ...shared,
    registrations,
    keys,
    keks,
    observer: publicationObserver({ documents, targets, allKeys: true }),
    events,
    limits: { minimumOverlap: hour },
    resync: 30 * minute,
    clockSkew: options.clockSkew ?? (() => 0),
    publicUrl,
    queueMetrics: {
      watch: (queue, read) => void figures.set(queue, read),
      added: ignore,
      retried: ignore,
      waited: ignore,
      worked: ignore,
    },
  });
  const { promise: leading, resolve: lead } = Promise.withResolvers<void>();
  if (!options.standby) lead();
  const work = Promise.all([
    registrations.run(signal),
    keys.run(signal),
    publisher.run(signal),
    kekWatch.run(signal),
    leading.then(() => reconciling.run(signal)),
    sidecar,
  ]);

  const busy = (): boolean =>
    figures.size < 2 || [...figures.values()].some((read) => read().depth > 0 || read().longestRunningSeconds > 0);
  async function rest(): Promise<void> {
    const deadline = Date.now() + 30_000;
    for (let since = Date.now(); Date.now() - since < restTime;) {
      if (busy()) since = Date.now();
      if (Date.now() > deadline) throw new Error('the controllers do not come to rest');
      await sleep(systemClock, 10);
    }
  }

  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    stopping.abort();
    lead();
    await work;
    await events.flush();
    await Promise.all([documents.close(), client.close()]);
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

  constructor(credentials: Credentials, beforeWrite: BeforeWrite | undefined) {
    super({ credentials, clock: systemClock, userAgent: operatorName });
    this.#beforeWrite = beforeWrite;
  }

  override async create<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    await this.#beforeWrite?.('create', type, object);
    return super.create(type, object);
  }

  override async replace<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    await this.#beforeWrite?.('replace', type, object);
    return super.replace(type, object);
  }

  override async replaceStatus<T extends KubeObject>(type: ResourceType, object: T): Promise<T> {
    await this.#beforeWrite?.('replaceStatus', type, object);
    return super.replaceStatus(type, object);
  }

  override async delete(type: ResourceType, object: KubeObject): Promise<void> {
    await this.#beforeWrite?.('delete', type, object);
    return super.delete(type, object);
  }
}

/** With the KEK k1, in a folder that the operator started with it does not remove. */
export async function makeKekDirectory(folder = tmpdir()): Promise<string> {
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
