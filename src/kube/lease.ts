import { isDeepStrictEqual } from 'node:util';
import { leases } from '../api/names.ts';
import { type Duration, second } from '../domain/duration.ts';
import { type Clock, withDeadline } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { ifExists, isConflict, isLostRace, isObjectNotFound, TransportError } from './errors.ts';
import { type KubeObject, microTime, type ResourceType } from './objects.ts';

/** client-go's default: another candidate may take over this long after the last change of the Lease that it saw. */
const leaseDurationSeconds = 15;
/** Half of the renew deadline, as in client-go's `NewFromKubeconfig`: the Lease survives one request that hangs. */
const requestTimeout: Duration = 5 * second;
/** Attempts to release a Lease that a delayed write of this process keeps changing. */
const releaseAttempts = 3;

const leaseKind = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };

/** The fields of a `coordination.k8s.io/v1` Lease that leader election uses. */
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
  /** Unique to this process: two processes with the same identity would both lead. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A process that competes for the Lease. */
export class LeaseCandidate {
  readonly #options: LeaseOptions;
  /**
   * The Lease as last read, and the monotonic time of its last observed change. The times in the Lease come from another
   * machine and are never compared with local ones: a Lease has expired if it did not *change* for its duration.
   */
  #seen: { readonly lease: Lease; readonly at: number } | undefined;
  /** A write of this process may have taken the Lease, or may still take it: its answer was lost, or came too late. */
  #mayHold = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  get heldByAnother(): boolean {
    if (this.#seen === undefined || this.#holder === '' || this.#holder === this.#options.identity) return false;
    const { lease, at } = this.#seen;
    const seconds = lease.spec?.leaseDurationSeconds ?? leaseDurationSeconds;
    return this.#options.clock.monotonic() < at + seconds * second;
  }

  get #holder(): string {
    return this.#seen?.lease.spec?.holderIdentity ?? '';
  }

  /**
   * Tries once to take or renew the Lease. Returns the monotonic time at which the successful write was sent; other candidates
   * count from the later time at which they see it. Returns undefined after a failure, and logs it. Sends no request once
   * `signal` has aborted.
   */
  async tryToHold(signal: AbortSignal): Promise<number | undefined> {
    const { name, log } = this.#options;
    try {
      return await this.#attempt(signal);
    } catch (error) {
      // after a lost race, the next attempt reads the winner's Lease
      if (signal.aborted || isLostRace(error)) return undefined;
      log.warn({ name, error }, 'cannot take or renew the leader lease; retrying');
      return undefined;
    }
  }

  /**
   * Releases the Lease if this process holds or may hold it, so that another candidate need not wait for its expiry. Replaces
   * the known version, so that a delayed write of this process becomes a conflict. Never rejects.
   */
  async release(): Promise<void> {
    if (!this.#mayHold) return;
    const { name, identity, clock, log } = this.#options;
    try {
      for (let attempt = 1; this.#seen && this.#mayHold && !this.heldByAnother; attempt++) {
        try {
          const { lease } = this.#seen;
          const renewTime = microTime(clock.now());
          const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime };
          await this.#write({ ...lease, spec });
          this.#mayHold = false;
        } catch (error) {
          if (!isConflict(error) || attempt === releaseAttempts) throw error;
          await this.#read();
          this.#mayHold = this.#holder === identity;
        }
      }
    } catch (error) {
      log.warn({ name, error }, 'cannot release the leader lease; it expires after 15 s');
    }
  }

  async #attempt(signal: AbortSignal): Promise<number | undefined> {
    if (this.#seen && this.#holder === this.#options.identity) {
      // the last write succeeded, so this one need not read
      try {
        return await this.#take(this.#seen.lease, signal);
      } catch (error) {
        if (!isConflict(error) && !isObjectNotFound(error)) throw error;
      }
    }
    const lease = await ifExists(this.#read(signal));
    if (lease === undefined || !this.heldByAnother) return this.#take(lease, signal);
    this.#mayHold = false;
    return undefined;
  }

  async #take(current: Lease | undefined, signal: AbortSignal): Promise<number> {
    const { namespace, name, clock } = this.#options;
    const sent = clock.monotonic();
    this.#mayHold = true;
    const metadata = current?.metadata ?? { namespace, name };
    await this.#write({ ...current, ...leaseKind, metadata, spec: this.#spec(current) }, signal);
    return sent;
  }

  #read(signal?: AbortSignal): Promise<Lease> {
    const { client, namespace, name } = this.#options;
    return this.#send(() => client.get(leases, namespace, name), signal);
  }

  async #write(lease: Lease, signal?: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const create = lease.metadata.resourceVersion === undefined;
    await this.#send(() => (create ? client.create(leases, lease) : client.replace(leases, lease)), signal);
  }

  /** Rejects after the timeout or when `signal` aborts; the request may take effect all the same. */
  async #send(request: () => Promise<Lease>, signal: AbortSignal | undefined): Promise<Lease> {
    const { clock } = this.#options;
    const late = () => new TransportError('Timeout', `leader lease: no answer within ${requestTimeout / second} s`);
    const lease = await withDeadline({ clock, milliseconds: requestTimeout, late, signal }, request);
    const unchanged = this.#seen && isDeepStrictEqual(lease.spec, this.#seen.lease.spec);
    this.#seen = { lease, at: unchanged ? this.#seen!.at : clock.monotonic() };
    return lease;
  }

  #spec(current: Lease | undefined): NonNullable<Lease['spec']> {
    const { identity, clock } = this.#options;
    const now = microTime(clock.now());
    const ours = current === undefined || current.spec?.holderIdentity === identity;
    const { acquireTime = now, leaseTransitions = 0 } = current?.spec ?? {};
    return {
      ...current?.spec,
      holderIdentity: identity,
      leaseDurationSeconds,
      acquireTime: ours ? acquireTime : now,
      renewTime: now,
      leaseTransitions: ours ? leaseTransitions : leaseTransitions + 1,
    };
  }
}
