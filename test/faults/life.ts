import { mkdirSync, rmSync, writeFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';
import { secrets } from '../../src/api/names.ts';
import { runJwks } from '../../src/jwks/run.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { recordingLog } from '../fakes/recording-log.ts';
import { eventually, type RunningCommand } from '../process/command.ts';
import { Pod } from '../process/pod.ts';
import { TestRegistration } from '../process/registration.ts';
import { type Findings, SafetyMonitor } from '../process/safety-monitor.ts';

/** What is left after a life, with everything that differs between two runs taken out. */
export interface EndState {
  readonly keys: readonly string[];
  readonly ledgerKeys: readonly string[];
  /** Names of what the Secrets hold; key IDs are written as revisions. */
  readonly secrets: Readonly<Record<string, readonly string[]>>;
  readonly delivered: string;
  readonly served: readonly string[];
  readonly ready: string;
}

/**
 * One accelerated life of a registration in a namespace of its own: bring-up, one rotation, retirement. The controller is
 * a real process that talks to the API server through `kubeconfig`; the sidecar runs in this one, for nobody kills it.
 */
export class Life {
  readonly registration: TestRegistration;
  readonly #pod: Pod;
  readonly #sidecar = new AbortController();
  readonly #served: Promise<void>;
  #controller: RunningCommand;

  private constructor(registration: TestRegistration, pod: Pod) {
    this.registration = registration;
    this.#pod = pod;
    const { hostname, port } = new URL(pod.jwksUrl);
    this.#served = runJwks(
      {
        publishDir: pod.publishDir,
        address: `${hostname}:${port}`,
        adminAddress: '127.0.0.1:0',
        maxAge: 300,
        keepAlive: 3660,
      },
      {
        clock: systemClock,
        log: recordingLog().log,
        registry: new Registry(),
        signal: this.#sidecar.signal,
        drainMs: 0,
      },
    );
    this.#controller = pod.startController();
  }

  static async begin(plane: ControlPlane, kubeconfig: string, namespace: string): Promise<Life> {
    const pod = await Pod.create({ kubeconfig, namespace });
    return new Life(new TestRegistration(plane, namespace, 'canvas'), pod);
  }

  get output(): string {
    return this.#pod.output();
  }

  /** SIGKILL, and a new process as the kubelet would start one. */
  async crash(): Promise<void> {
    await this.#controller.kill();
    this.#controller = this.#pod.startController();
  }

  /** Lives, and returns what a monitor found out on the way. */
  async live(): Promise<Findings> {
    await this.registration.apply({ activationDelay: '1s', overlap: '1s' });
    const url = this.#pod.registrationUrl('canvas');
    const monitor = new SafetyMonitor(this.registration, url, { intervalMs: 150, overlapMs: 1000 });
    try {
      await this.registration.isReady(60_000);
      await this.registration.rotate('one');
      await this.registration.becomes('Retired,Active', 60_000);
      await this.registration.isReady(60_000);
      await this.#settled();
    } finally {
      await monitor.stop();
    }
    return monitor.stop();
  }

  async endState(): Promise<EndState> {
    const { registration } = this;
    const [keys, ledger, object] = await Promise.all([registration.keys(), registration.ledger(), registration.get()]);
    const revision = (kid: string | undefined): string =>
      `revision ${ledger.keys.find(({ keyID }) => keyID === kid)?.revision ?? `of no key (${kid})`}`;
    const response = await fetch(this.#pod.registrationUrl('canvas'));
    const { keys: served } = (await response.json()) as { keys: { kid: string }[] };
    const { items } = await registration.client.list<Secret>(secrets, { namespace: registration.namespace });
    return {
      keys: keys.map(({ spec, status }) => `${revision(spec.keyID)} ${status?.state}`),
      ledgerKeys: ledger.keys.map(({ keyID, state }) => `${revision(keyID)} ${state}`),
      secrets: Object.fromEntries(
        items.map(({ metadata, data }) => [
          metadata.name,
          Object.keys(data ?? {})
            .map((entry) => (entry.endsWith('.jwe') ? `${revision(entry.slice(0, -4))}.jwe` : entry))
            .toSorted(),
        ]),
      ),
      delivered: revision((await registration.delivered())['kid']),
      served: served.map(({ kid }) => revision(kid)),
      ready: `${revision(object.status?.activeKey?.keyID)} ${registration.condition('Ready', object)?.status}`,
    };
  }

  async end(): Promise<void> {
    this.#sidecar.abort();
    await Promise.all([this.#pod.remove(), this.#served, this.registration.client.close()]);
  }

  /** The last writes of a life follow the one that makes the last key what it becomes. */
  async #settled(): Promise<void> {
    await eventually('one key is served', async () => {
      const { keys } = (await (await fetch(this.#pod.registrationUrl('canvas'))).json()) as { keys: object[] };
      return keys.length === 1;
    });
  }
}

/** The operator's kubeconfig with another server in it. */
export function kubeconfigVia(kubeconfig: string, url: string, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'via-proxy.kubeconfig');
  writeFileSync(file, readFileSync(kubeconfig, 'utf8').replaceAll(/https:\/\/127\.0\.0\.1:\d+/g, url), { mode: 0o600 });
  return file;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}
