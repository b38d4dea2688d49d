import { leases } from '../api/names.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { isAlreadyExists, isConflict, isObjectNotFound } from './errors.ts';
import { microTime } from './micro-time.ts';
import type { KubeObject, ResourceType } from './objects.ts';

/** client-go's default: others may take over this long after the last change of the Lease that they saw. */
const leaseDurationSeconds = 15;

const leaseKind = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };

/** `coordination.k8s.io/v1` Lease, as far as leader election uses it. */
export interface Lease extends KubeObject {
  readonly spec?: {
    /** Empty once released. */
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

export interface LeaseClient {
  get(type: ResourceType, namespace: string, name: string): Promise<Lease>;
  create(type: ResourceType, lease: Lease): Promise<Lease>;
  replace(type: ResourceType, lease: Lease): Promise<Lease>;
}

export interface LeaseOptions {
  readonly client: LeaseClient;
  readonly namespace: string;
  readonly name: string;
  /** Unique to this process: two with the same identity would both lead. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One process's view of the Lease, and its attempts to hold it. */
export class LeaseCandidate {
  readonly #options: LeaseOptions;
  /**
   * The Lease as last seen, and when that was on our own monotonic clock. The times written in it are another machine's
   * and are never compared with ours: a lease has expired when it did not *change* for its duration.
   */
  #seen: { readonly lease: Lease; readonly fingerprint: string; readonly at: number } | undefined;
  #holding = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  get heldByAnother(): boolean {
    const holder = this.#seen?.lease.spec?.holderIdentity ?? '';
    return holder !== '' && holder !== this.#options.identity && !this.#expired();
  }

  /** One attempt to take or renew the Lease; failures are logged and mean no. */
  async tryToHold(): Promise<boolean> {
    const { name, log } = this.#options;
    try {
      this.#holding = await this.#attempt();
      return this.#holding;
    } catch (error) {
      // Losing a race is how an election goes; the winner's Lease is seen at the next attempt.
      if (!isConflict(error) && !isAlreadyExists(error)) {
        log.warn({ name, error }, 'cannot take or renew the leader lease; trying again');
      }
      return false;
    }
  }

  /** Gives the Lease up if we hold it, so that another candidate need not wait for it to expire. Never rejects. */
  async release(): Promise<void> {
    if (!this.#holding || this.#seen === undefined) return;
    this.#holding = false;
    const { client, name, clock, log } = this.#options;
    const { lease } = this.#seen;
    const renewTime = microTime(clock.now());
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime };
    try {
      this.#saw(await client.replace(leases, { ...lease, spec }));
    } catch (error) {
      log.warn({ name, error }, 'cannot release the leader lease; it expires by itself');
    }
  }

  async #attempt(): Promise<boolean> {
    const { client, namespace, name } = this.#options;
    let lease: Lease;
    try {
      lease = await client.get(leases, namespace, name);
    } catch (error) {
      if (!isObjectNotFound(error)) throw error;
      const metadata = { namespace, name };
      this.#saw(await client.create(leases, { ...leaseKind, metadata, spec: this.#spec(undefined) }));
      return true;
    }
    this.#saw(lease);
    if (this.heldByAnother) return false;
    this.#saw(await client.replace(leases, { ...lease, ...leaseKind, spec: this.#spec(lease) }));
    return true;
  }

  #spec(current: Lease | undefined): NonNullable<Lease['spec']> {
    const { identity, clock } = this.#options;
    const now = microTime(clock.now());
    const ours = current?.spec?.holderIdentity === identity;
    const transitions = current?.spec?.leaseTransitions ?? 0;
    return {
      ...current?.spec,
      holderIdentity: identity,
      leaseDurationSeconds,
      acquireTime: (ours ? current.spec.acquireTime : undefined) ?? now,
      renewTime: now,
      leaseTransitions: ours || current === undefined ? transitions : transitions + 1,
    };
  }

  #saw(lease: Lease): void {
    const fingerprint = JSON.stringify(lease.spec ?? {});
    const unchanged = this.#seen?.fingerprint === fingerprint;
    const at = unchanged && this.#seen !== undefined ? this.#seen.at : this.#options.clock.monotonic();
    this.#seen = { lease, fingerprint, at };
  }

  #expired(): boolean {
    if (this.#seen === undefined) return true;
    const seconds = this.#seen.lease.spec?.leaseDurationSeconds ?? leaseDurationSeconds;
    return this.#options.clock.monotonic() >= this.#seen.at + seconds * 1000;
  }
}
