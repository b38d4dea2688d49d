import { leases } from '../api/names.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../observability/log.ts';
import { isAlreadyExists, isConflict, isObjectNotFound, TransportError } from './errors.ts';
import { microTime } from './micro-time.ts';
import type { KubeObject, ResourceType } from './objects.ts';

/** client-go's default: others may take over this long after the last change of the Lease that they saw. */
const leaseDurationSeconds = 15;
/** Half of the renew deadline, as client-go's `NewFromKubeconfig` has it: one request that hangs does not cost the Lease. */
const requestTimeoutMs = 5_000;
/** In which a release reads again what another write of ours has changed. */
const releaseRounds = 3;

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
  /** Our last write succeeded, and nobody has been seen to write since: the next one need not read. */
  #holding = false;
  /** A write of ours may have taken the Lease, or may still: its answer was lost, or came too late. */
  #mayHold = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  get heldByAnother(): boolean {
    const holder = this.#seen?.lease.spec?.holderIdentity ?? '';
    return holder !== '' && holder !== this.#options.identity && !this.#expired();
  }

  /**
   * One attempt to take or renew the Lease. Returns the monotonic time at which the write that did was sent: others count from
   * when they saw it, which is later. Failures are logged and mean no. Nothing is sent once `signal` has aborted.
   */
  async tryToHold(signal: AbortSignal): Promise<number | undefined> {
    const { name, log } = this.#options;
    try {
      return await this.#attempt(signal);
    } catch (error) {
      // Losing a race is how an election goes; the winner's Lease is seen at the next attempt.
      if (!signal.aborted && !isConflict(error) && !isAlreadyExists(error)) {
        log.warn({ name, error }, 'cannot take or renew the leader lease; trying again');
      }
      return undefined;
    }
  }

  /**
   * Gives the Lease up if we hold or may hold it, so that another candidate need not wait for it to expire. Writes over the
   * version that we know, so that a write of ours that is still on its way becomes a conflict. Never rejects.
   */
  async release(): Promise<void> {
    if (!this.#mayHold || this.heldByAnother) return;
    this.#holding = false;
    const { client, namespace, name, log } = this.#options;
    try {
      for (let round = 1; this.#seen && this.#mayHold && !this.heldByAnother; round++) {
        try {
          await this.#write(this.#released(this.#seen.lease));
          this.#mayHold = false;
        } catch (error) {
          if (!isConflict(error) || round === releaseRounds) throw error;
          this.#saw(await this.#answer(client.get(leases, namespace, name)));
          this.#mayHold = this.#seen.lease.spec?.holderIdentity === this.#options.identity;
        }
      }
    } catch (error) {
      log.warn({ name, error }, 'cannot release the leader lease; it expires by itself');
    }
  }

  async #attempt(signal: AbortSignal): Promise<number | undefined> {
    const { client, namespace, name } = this.#options;
    if (this.#holding && this.#seen) {
      try {
        return await this.#take(this.#seen.lease, signal);
      } catch (error) {
        if (!isConflict(error) && !isObjectNotFound(error)) throw error;
        this.#holding = false;
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
    this.#holding = true;
    return sent;
  }

  async #write(lease: Lease, signal?: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const create = lease.metadata.resourceVersion === undefined;
    this.#saw(await this.#answer(create ? client.create(leases, lease) : client.replace(leases, lease), signal));
  }

  /** What `request` resolves to; rejects when that takes too long or `signal` aborts, though the request may have an effect. */
  async #answer<T>(request: Promise<T>, signal?: AbortSignal): Promise<T> {
    const { promise: given, reject } = Promise.withResolvers<never>();
    const stop = (): void => reject(signal?.reason);
    const late = new TransportError('Timeout', `leader lease: no answer within ${requestTimeoutMs / 1000} s`);
    const cancel = this.#options.clock.setTimer(() => reject(late), requestTimeoutMs);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
    try {
      return await Promise.race([request, given]);
    } finally {
      cancel();
      signal?.removeEventListener('abort', stop);
    }
  }

  #released(lease: Lease): Lease {
    const renewTime = microTime(this.#options.clock.now());
    return { ...lease, spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime } };
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
