import { strict as assert } from 'node:assert';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Cluster } from '../cluster/cluster.ts';
import { checkout, images } from '../paths.ts';
import { loweredFloors, Operator } from './operator.ts';

interface Overlay {
  /** More arguments of the controller. */
  readonly args?: readonly string[];
  /** Their paths in the repository. */
  readonly components?: readonly string[];
}

/** The operator as `kubectl apply --kustomize` installed it. */
export class KustomizedOperator extends Operator {
  readonly #cluster: Cluster;
  readonly #overlay: string;

  /** Writes its kustomization into `folder`. */
  constructor(cluster: Cluster, folder: string) {
    super(cluster, { namespace: 'lti-key-operator', registration: 'canvas' });
    this.#cluster = cluster;
    this.#overlay = join(folder, 'overlay');
    mkdirSync(this.#overlay);
  }

  /** Applies deploy/ as it is, but for the name of the image, and waits until both Pods are ready. */
  async install(): Promise<void> {
    await this.#apply({});
    await this.isRolledOut();
  }

  /** Applies the same manifests with lower floors. */
  async accelerate(): Promise<void> {
    await this.#apply({ args: loweredFloors });
    await this.isRolledOut();
  }

  /** Applies them with these components, and waits until the Service has that many ready endpoints. */
  async with(components: readonly string[], readyEndpoints: number): Promise<void> {
    await this.#apply({ args: loweredFloors, components });
    await this.hasReadyEndpoints(readyEndpoints);
  }

  /** A user's own kustomization, as deploy/kustomization.yaml describes it. */
  async #apply({ args = [], components = [] }: Overlay): Promise<void> {
    const [newName, newTag] = images.operator.split(':');
    const inCheckout = (path: string): string => relative(this.#overlay, join(checkout, path));
    const patch = args.map((value) => ({ op: 'add', path: '/spec/template/spec/containers/0/args/-', value }));
    const target = { kind: 'Deployment', name: 'lti-key-operator' };
    const content = {
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: [inCheckout('deploy')],
      components: components.map(inCheckout),
      images: [{ name: 'lti-key-operator', newName, newTag }],
      ...(patch.length > 0 && { patches: [{ target, patch: JSON.stringify(patch) }] }),
    };
    writeFileSync(join(this.#overlay, 'kustomization.yaml'), JSON.stringify(content));
    const { code, stderr } = await this.#cluster.controlPlane.kubectlRun(['apply', '--kustomize', this.#overlay]);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /PodSecurity/, 'nothing that Pod Security would refuse');
  }
}
