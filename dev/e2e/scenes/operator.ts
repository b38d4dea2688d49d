import { strict as assert } from 'node:assert';
import type { Cluster } from '../cluster/cluster.ts';
import { until } from '../until.ts';

/** Of deploy/samples. */
export const registrationNamespace = 'gradebook';

/** So that a rotation takes a minute, not days. The shipped minimums protect caches, and there are none here. */
export const loweredFloors = ['--minimum-overlap=30s', '--minimum-activation-delay=5s'];

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

export interface Installation {
  /** Of the operator. */
  readonly namespace: string;
  /** A sample, whose document tells what is served. */
  readonly registration: string;
}

/** The installed operator, seen from outside. */
export class Operator {
  readonly namespace: string;
  readonly registration: string;
  readonly #cluster: Cluster;
  readonly #inNamespace: string;
  #url: string | undefined;

  constructor(cluster: Cluster, { namespace, registration }: Installation) {
    this.#cluster = cluster;
    this.namespace = namespace;
    this.registration = registration;
    this.#inNamespace = `--namespace=${namespace}`;
  }

  async hasReadyEndpoints(count: number): Promise<void> {
    await until(`the Service has ${count} ready endpoints`, async () => (await this.readyEndpoints()) === count);
  }

  /** How many there are now. */
  async readyEndpoints(): Promise<number> {
    const selector = '--selector=kubernetes.io/service-name=lti-key-operator-jwks';
    const { items } = await this.#cluster.get<List<Slice>>('endpointslices', this.#inNamespace, selector);
    const endpoints = items.flatMap((slice) => slice.endpoints ?? []);
    return endpoints.filter(({ conditions }) => conditions.ready === true).length;
  }

  async isRolledOut(replicas = 2): Promise<void> {
    const status = ['rollout', 'status', 'deployment/lti-key-operator', this.#inNamespace, '--timeout=180s'];
    await this.#cluster.kubectl(status);
    // Done means that new Pods are ready; the old ones still have their preStop to sleep.
    await until(`${replicas} Pods are left and ready`, async () => {
      const pods = await this.pods();
      return pods.length === replicas && pods.every(isReady);
    });
  }

  async pods(): Promise<readonly Pod[]> {
    const selector = '--selector=app.kubernetes.io/name=lti-key-operator';
    return (await this.#cluster.get<List<Pod>>('pods', this.#inNamespace, selector)).items;
  }

  async leader(): Promise<string> {
    const lease = ['lease/lti-key-operator', this.#inNamespace];
    return (await this.#cluster.get<{ spec: { holderIdentity?: string } }>(...lease)).spec.holderIdentity ?? '';
  }

  /** The document of the registration, by the ClusterIP of the Service. */
  async url(): Promise<string> {
    this.#url ??= await this.urlOf(this.registration);
    return this.#url;
  }

  /** The same of any registration among the samples. */
  async urlOf(registration: string): Promise<string> {
    const service = ['service/lti-key-operator-jwks', this.#inNamespace];
    const { clusterIP } = (await this.#cluster.get<{ spec: { clusterIP: string } }>(...service)).spec;
    return `http://${clusterIP}${documentPath(registration)}`;
  }

  /** The document as the Service serves it. */
  async document(): Promise<string> {
    return (await fetchDocument(await this.url())).body;
  }

  /** Service and Pods give the same bytes and the same ETag, and they are the keys that kubectl shows. */
  async servesTheSameEverywhere(): Promise<void> {
    const pods = await this.pods();
    const urls = [
      await this.url(),
      ...pods.map(({ status }) => `http://${status.podIP}:8080${documentPath(this.registration)}`),
    ];
    const [first, ...others] = await Promise.all(urls.map(fetchDocument));
    for (const other of others) assert.deepEqual(other, first);
    const { items } = await this.#cluster.get<List<{ spec: { publicJWK: object }; status: { state: string } }>>(
      'ltikeys',
      `--namespace=${registrationNamespace}`,
      `--field-selector=spec.registrationRef.name=${this.registration}`,
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

function documentPath(registration: string): string {
  return `/registrations/${registrationNamespace}/${registration}/jwks.json`;
}

function canonical(key: object): string {
  return JSON.stringify(Object.entries(key).toSorted(([a], [b]) => a.localeCompare(b)));
}
