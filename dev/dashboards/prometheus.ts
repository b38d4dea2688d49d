import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Restartable } from '../control-plane/control-plane.ts';
import { freePorts } from '../control-plane/ports.ts';
import { server } from '../control-plane/server.ts';
import { findPrometheusProgram } from './prometheus-package.ts';

const root = join(import.meta.dirname, '../..');

/** A process that Prometheus scrapes, as the service discovery of Kubernetes describes it. */
export interface Target {
  /** `127.0.0.1:8082` */
  readonly address: string;
  readonly pod: string;
  readonly container: string;
  readonly port: 'metrics' | 'admin';
}

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** Seconds and the value as text; one for an instant, one per step for a range. */
  readonly values: readonly (readonly [number, string])[];
}

interface Result {
  readonly resultType: 'vector' | 'matrix' | 'scalar' | 'string';
  readonly result: readonly {
    readonly metric: Readonly<Record<string, string>>;
    readonly value?: readonly [number, string];
    readonly values?: readonly (readonly [number, string])[];
  }[];
}

/** A Prometheus on loopback with the scrape configuration of docs/monitoring.md. */
export class Prometheus {
  readonly url: string;
  readonly #folder: string;
  readonly #running: Restartable;

  private constructor(url: string, folder: string, running: Restartable) {
    this.url = url;
    this.#folder = folder;
    this.#running = running;
  }

  /** It scrapes and evaluates once a second. `rules` is the path of a rule file. */
  static async start(targets: readonly Target[], rules = join(root, 'deploy/alerts.yaml')): Promise<Prometheus> {
    const [port = 0] = await freePorts(1);
    const folder = mkdtempSync(join(tmpdir(), 'prometheus-'));
    const config = join(folder, 'prometheus.yaml');
    writeFileSync(config, JSON.stringify(configuration(targets, rules)));
    const url = `http://127.0.0.1:${port}`;
    const running = server({
      name: 'prometheus',
      program: findPrometheusProgram('prometheus'),
      args: [`--config.file=${config}`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`],
      logFile: join(folder, 'log'),
      cwd: folder,
      isReady: async () => (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok === true,
    });
    await running.start();
    return new Prometheus(url, folder, running);
  }

  async stop(): Promise<void> {
    await this.#running.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** The `data` of an endpoint of the API. @throws Error with the words of Prometheus */
  async get<T>(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<T> {
    const response = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`);
    const body = (await response.json()) as { status: string; data: T; error?: string };
    if (body.status !== 'success') throw new Error(`${parameters['query'] ?? path}: ${body.error}`);
    return body.data;
  }

  async instant(query: string): Promise<readonly Series[]> {
    return seriesOf(await this.get<Result>('query', { query }));
  }

  /** @param seconds until now */
  async range(query: string, seconds: number): Promise<readonly Series[]> {
    const end = Date.now() / 1000;
    return seriesOf(
      await this.get<Result>('query_range', { query, start: `${end - seconds}`, end: `${end}`, step: '1' }),
    );
  }
}

function seriesOf({ resultType, result }: Result): readonly Series[] {
  if (resultType === 'scalar' || resultType === 'string') throw new Error(`not series but a ${resultType}`);
  return result.map(({ metric, value, values }) => ({ metric, values: values ?? (value ? [value] : []) }));
}

function configuration(targets: readonly Target[], rules: string): object {
  const page = readFileSync(join(root, 'docs/monitoring.md'), 'utf8');
  const [, text = ''] = /```yaml\n(scrape_configs:\n[^`]*)```/.exec(page) ?? [];
  const { scrape_configs: documented }: { scrape_configs: readonly Record<string, unknown>[] } = parse(text);
  return {
    global: { evaluation_interval: '1s' },
    rule_files: [rules],
    scrape_configs: documented.map((scrape) => ({
      ...scrape,
      kubernetes_sd_configs: undefined,
      static_configs: targets.map(discovered),
      scrape_interval: '1s',
      scrape_timeout: '1s',
    })),
  };
}

function discovered({ address, pod, container, port }: Target): object {
  return {
    targets: [address],
    labels: {
      __meta_kubernetes_pod_label_app_kubernetes_io_name: 'lti-key-operator',
      __meta_kubernetes_pod_container_port_name: port,
      __meta_kubernetes_pod_name: pod,
      __meta_kubernetes_pod_container_name: container,
      __meta_kubernetes_namespace: 'lti-key-operator',
    },
  };
}

/** What Grafana puts into a query before it sends it. */
export function filledIn(expr: string, variables: Readonly<Record<string, string>>): string {
  const values: Readonly<Record<string, string>> = { cluster: '.*', __rate_interval: '15s', ...variables };
  return expr.replaceAll(/\$(\w+)/g, (written, name: string) => values[name] ?? written);
}
