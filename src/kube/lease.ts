import { isDeepStrictEqual } from 'node:util';

import { leases } from '../api/names.ts';
import { type Duration, second } from '../domain/duration.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { isAlreadyExists, isConflict, isObjectNotFound, TransportError } from './errors.ts';
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
    return this.#holder !== '' && this.#holder !== this.#options.identity && !this.#expired();
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
      // A lost race is normal; the next attempt reads the winner's Lease.
      if (!signal.aborted && !isConflict(error) && !isAlreadyExists(error)) {
        log.warn({ name, error }, 'cannot take or renew the leader lease; retrying');
      }
      return undefined;
    }
  }

  /**
   * Releases the Lease if this process holds or may hold it, so that another candidate need not wait for its expiry. Replaces
   * the known version, so that a delayed write of this process becomes a conflict. Never rejects.
   */
  async release(): Promise<void> {
    if (!this.#mayHold) return;
    const { client, namespace, name, identity, clock, log } = this.#options;
    try {
      for (let attempt = 1; this.#seen && this.#mayHold && !this.heldByAnother; attempt++) {
        try {
          const { lease } = this.#seen;
          const renewTime = microTime(clock.now());
          await this.#write({
            ...lease,
            spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime },
          });
          this.#mayHold = false;
        } catch (error) {
          if (!isConflict(error) || attempt === releaseAttempts) throw error;
          this.#saw(await this.#answer(client.get(leases, namespace, name)));
          this.#mayHold = this.#holder === identity;
        }
      }
    } catch (error) {
      log.warn({ name, error }, 'cannot release the leader lease; it expires after 15 s');
    }
  }

  async #attempt(signal: AbortSignal): Promise<number | undefined> {
    const { client, namespace, name, identity } = this.#options;
    if (this.#seen && this.#holder === identity) {
      // the last write succeeded, so this one need not read
      try {
        return await this.#take(this.#seen.lease, signal);
      } catch (error) {
        if (!isConflict(error) && !isObjectNotFound(error)) throw error;
      }
    }
    let lease: Lease | undefined;
    try {
      lease = await this.#answer(client.get(leases, namespace, name), signal);
      this.#saw(lease);
      if (this.heldByAnother) {
        this.#mayHold = false;
        return undefined;
      }
    } catch (error) {
      if (!isObjectNotFound(error)) throw error;
    }
    return this.#take(lease, signal);
  }

  async #take(current: Lease | undefined, signal: AbortSignal): Promise<number> {
    const { namespace, name, clock } = this.#options;
    const sent = clock.monotonic();
    this.#mayHold = true;
    const metadata = current?.metadata ?? { namespace, name };
    await this.#write({ ...current, ...leaseKind, metadata, spec: this.#spec(current) }, signal);
    return sent;
  }

  async #write(lease: Lease, signal?: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const create = lease.metadata.resourceVersion === undefined;
    this.#saw(await this.#answer(create ? client.create(leases, lease) : client.replace(leases, lease), signal));
  }

  /** Settles as `request`, or rejects after the timeout or when `signal` aborts; the request may take effect all the same. */
  async #answer<T>(request: Promise<T>, signal?: AbortSignal): Promise<T> {
    const { promise: given, reject } = Promise.withResolvers<never>();
    const stop = (): void => reject(signal?.reason);
    const late = new TransportError('Timeout', `leader lease: no answer within ${requestTimeout / second} s`);
    const cancel = this.#options.clock.setTimer(() => reject(late), requestTimeout);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
    try {
      return await Promise.race([request, given]);
    } finally {
      cancel();
      signal?.removeEventListener('abort', stop);
    }
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
    const unchanged = this.#seen && isDeepStrictEqual(lease.spec, this.#seen.lease.spec);
    this.#seen = { lease, at: unchanged ? this.#seen!.at : this.#options.clock.monotonic() };
  }

  #expired(): boolean {
    if (this.#seen === undefined) return true;
    const seconds = this.#seen.lease.spec?.leaseDurationSeconds ?? leaseDurationSeconds;
    return this.#options.clock.monotonic() >= this.#seen.at + seconds * second;
  }
}
