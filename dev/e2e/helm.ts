import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { helmProgram } from '../helm/build.ts';
import { type Finished, run } from './run.ts';

/** Helm with a namespace and values of its own. */
export class Helm {
  readonly #kubeconfig: string;
  readonly #folder: string;
  readonly #namespace: string;

  /** Writes values and what Helm caches into `folder`. */
  constructor(kubeconfig: string, folder: string, namespace: string) {
    this.#kubeconfig = kubeconfig;
    this.#folder = folder;
    this.#namespace = namespace;
  }

  /** @throws Error with Helm's words when it fails */
  async run(...args: readonly string[]): Promise<Finished> {
    const home = { HELM_CACHE_HOME: this.#folder, HELM_CONFIG_HOME: this.#folder, HELM_DATA_HOME: this.#folder };
    const env = { ...process.env, ...home, KUBECONFIG: this.#kubeconfig };
    return run(await helmProgram(), [...args, `--namespace=${this.#namespace}`], { env });
  }

  /** `install` or `upgrade`, until every Pod is ready. */
  async apply(command: 'install' | 'upgrade', release: string, chart: string, values: object): Promise<Finished> {
    const file = join(this.#folder, 'values.json');
    writeFileSync(file, JSON.stringify(values));
    return this.run(command, release, chart, '--values', file, '--wait', '--timeout=180s');
  }
}
