import { ApiError } from '../../src/kube/errors.ts';
import type { Lease, LeaseClient } from '../../src/kube/lease.ts';

/** One Lease in memory, with compare-and-set of the resourceVersion and faults on demand. */
export class FakeLeases implements LeaseClient {
  lease: Lease | undefined;
  /** While set, all requests reject with it. */
  failure: Error | undefined;
  /** While set, requests are never answered. */
  hangs = false;
  /** Delays every request. */
  latency: (() => Promise<void>) | undefined;
  /** While set, writes take effect and are never answered. */
  answersNoWrite = false;
  reads = 0;
  readonly writes: Lease[] = [];
  #version = 0;

  async get(): Promise<Lease> {
    this.reads += 1;
    await this.#fault();
    if (this.lease === undefined) {
      throw new ApiError('no such lease', { status: 404, reason: 'NotFound', missing: 'object' });
    }
    return this.lease;
  }

  async create(_type: unknown, lease: Lease): Promise<Lease> {
    await this.#fault();
    if (this.lease !== undefined) throw new ApiError('taken', { status: 409, reason: 'AlreadyExists' });
    return this.#written(lease);
  }

  async replace(_type: unknown, lease: Lease): Promise<Lease> {
    await this.#fault();
    if (lease.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) {
      throw new ApiError('changed', { status: 409, reason: 'Conflict' });
    }
    return this.#written(lease);
  }

  /** A write by another process. */
  set(spec: Lease['spec'] & object): void {
    this.#store({ metadata: { namespace: 'ns', name: 'lease' }, spec });
    this.writes.pop();
  }

  async #written(lease: Lease): Promise<Lease> {
    const stored = this.#store(lease);
    if (this.answersNoWrite) await new Promise(() => undefined);
    return stored;
  }

  #store(lease: Lease): Lease {
    this.#version += 1;
    this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(this.#version) } };
    this.writes.push(this.lease);
    return this.lease;
  }

  async #fault(): Promise<void> {
    if (this.hangs) await new Promise(() => undefined);
    await this.latency?.();
    if (this.failure !== undefined) throw this.failure;
  }
}
