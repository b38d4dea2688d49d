import { ApiError } from '../../src/kube/errors.ts';
import type { Lease, LeaseClient } from '../../src/kube/lease.ts';

/** The API server, as far as one Lease goes: compare-and-set on the resourceVersion, and faults on demand. */
export class FakeLeases implements LeaseClient {
  lease: Lease | undefined;
  /** Thrown instead of an answer, while set. */
  failure: Error | undefined;
  /** While set, requests are never answered. */
  hangs = false;
  /** Awaited before every answer. */
  latency: (() => Promise<void>) | undefined;
  readonly writes: Lease[] = [];
  #version = 0;

  async get(): Promise<Lease> {
    await this.#fault();
    if (this.lease === undefined) {
      throw new ApiError('no such lease', { status: 404, reason: 'NotFound', missing: 'object' });
    }
    return this.lease;
  }

  async create(_type: unknown, lease: Lease): Promise<Lease> {
    await this.#fault();
    if (this.lease !== undefined) throw new ApiError('taken', { status: 409, reason: 'AlreadyExists' });
    return this.#store(lease);
  }

  async replace(_type: unknown, lease: Lease): Promise<Lease> {
    await this.#fault();
    if (lease.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) {
      throw new ApiError('changed', { status: 409, reason: 'Conflict' });
    }
    return this.#store(lease);
  }

  /** A change of the Lease that somebody else makes. */
  set(spec: Lease['spec'] & object): void {
    this.#store({ metadata: { namespace: 'ns', name: 'lease' }, spec });
    this.writes.pop();
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
