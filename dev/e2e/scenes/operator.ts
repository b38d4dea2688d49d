import { strict as assert } from 'node:assert';
import type { Cluster } from '../cluster/cluster.ts';
import { until } from '../until.ts';

const namespace = '--namespace=lti-key-operator';
const documentPath = '/registrations/gradebook/canvas/jwks.json';

export interface Pod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly status: { readonly podIP?: string; readonly containerStatuses?: readonly ContainerStatus[] };
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly containerID: string;
  readonly state: { readonly waiting?: { readonly reason?: string }; readonly running?: object };
}

interface Slice {
  readonly endpoints?: readonly { readonly conditions: { readonly ready?: boolean } }[] | null;
}

interface List<T> {
  readonly items: readonly T[];
}

/** The installed operator, seen from outside. */
export class Operator {
  readonly #cluster: Cluster;
  readonly #apply: (components: readonly string[]) => Promise<void>;
  #url: string | undefined;

  /** `apply` applies the same manifests with lower floors, and with components of deploy/. */
  constructor(cluster: Cluster, apply: (components: readonly string[]) => Promise<void>) {
    this.#cluster = cluster;
    this.#apply = apply;
  }

  async accelerate(): Promise<void> {
    await this.#apply([]);
    await this.isRolledOut();
  }

  /** Applies the manifests with these components, and waits until the Service has that many ready endpoints. */
  async with(components: readonly string[], readyEndpoints: number): Promise<void> {
    await this.#apply(components);
    await this.hasReadyEndpoints(readyEndpoints);
  }

  async hasReadyEndpoints(count: number): Promise<void> {
    await until(`the Service has ${count} ready endpoints`, async () => (await this.readyEndpoints()) === count);
  }

  /** How many there are now. */
  async readyEndpoints(): Promise<number> {
    const selector = '--selector=kubernetes.io/service-name=lti-key-operator-jwks';
    const { items } = await this.#cluster.get<List<Slice>>('endpointslices', namespace, selector);
    const endpoints = items.flatMap((slice) => slice.endpoints ?? []);
    return endpoints.filter(({ conditions }) => conditions.ready === true).length;
  }

  async isRolledOut(): Promise<void> {
    await this.#cluster.kubectl(['rollout', 'status', 'deployment/lti-key-operator', namespace, '--timeout=180s']);
    // Done means that new Pods are ready; the old ones still have their preStop to sleep.
    await until('two Pods are left and ready', async () => {
      const pods = await this.pods();
      return pods.length === 2 && pods.every(isReady);
    });
  }

  async pods(): Promise<readonly Pod[]> {
    const selector = '--selector=app.kubernetes.io/name=lti-key-operator';
    return (await this.#cluster.get<List<Pod>>('pods', namespace, selector)).items;
  }

  async leader(): Promise<string> {
    const lease = await this.#cluster.get<{ spec: { holderIdentity?: string } }>('lease/lti-key-operator', namespace);
    return lease.spec.holderIdentity ?? '';
  }

  /** The document of the registration canvas, by the ClusterIP of the Service: there is no DNS here. */
  async url(): Promise<string> {
    const service = ['service/lti-key-operator-jwks', namespace];
    this.#url ??= (await this.#cluster.get<{ spec: { clusterIP: string } }>(...service)).spec.clusterIP;
    return `http://${this.#url}${documentPath}`;
  }

  /** The document as the Service serves it. */
  async document(): Promise<string> {
    return (await fetchDocument(await this.url())).body;
  }

  /** Service and Pods give the same bytes and the same ETag, and they are the keys that kubectl shows. */
  async servesTheSameEverywhere(): Promise<void> {
    const pods = await this.pods();
    const urls = [await this.url(), ...pods.map(({ status }) => `http://${status.podIP}:8080${documentPath}`)];
    const [first, ...others] = await Promise.all(urls.map(fetchDocument));
    for (const other of others) assert.deepEqual(other, first);
    const { items } = await this.#cluster.get<List<{ spec: { publicJWK: object }; status: { state: string } }>>(
      'ltikeys',
      '--namespace=gradebook',
    );
    const published = items.filter(({ status }) => ['Next', 'Active', 'Retiring'].includes(status.state));
    const sorted = (keys: readonly object[]): string[] => keys.map((key) => canonical(key)).toSorted();
    assert.deepEqual(sorted(JSON.parse(first?.body ?? '{}').keys), sorted(published.map(({ spec }) => spec.publicJWK)));
  }
}

export function containerOf({ metadata, status }: Pod, name: string): ContainerStatus {
  const found = status.containerStatuses?.find((container) => container.name === name);
  assert.ok(found, `${metadata.name} has a container ${name}`);
  return found;
}

export function isReady({ metadata, status }: Pod): boolean {
  const containers = status.containerStatuses ?? [];
  return metadata.deletionTimestamp === undefined && containers.length === 2 && containers.every(({ ready }) => ready);
}

export async function fetchDocument(url: string): Promise<{ status: number; etag: string | null; body: string }> {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
  const body = await response.text();
  assert.equal(response.status, 200, `${url} answered: ${body}`);
  return { status: response.status, etag: response.headers.get('etag'), body };
}

function canonical(key: object): string {
  return JSON.stringify(Object.entries(key).toSorted(([a], [b]) => a.localeCompare(b)));
}
