import { isDeepStrictEqual } from 'node:util';
import { ltiKeys } from '../../api/names.ts';
import type { LtiKey } from '../../api/objects.ts';
import { movesTo } from '../../domain/key-state.ts';
import { conditions, type Verdict } from '../../domain/projection.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { Collection } from '../../kube/collection.ts';
import { isAlreadyExists, isObjectNotFound } from '../../kube/errors.ts';
import { objectKey } from '../../kube/objects.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Written } from '../written.ts';

type KeyStatus = NonNullable<LtiKey['status']>;

/** The only writer of LtiKeys. Every method is idempotent and leaves an object that already is as it should be alone. */
export class KeyWriter {
  readonly #client: KubeClient;
  readonly #keys: Pick<Collection<LtiKey>, 'get'>;
  readonly #written: Written<LtiKey>;
  readonly #clock: Clock;

  constructor(options: {
    client: KubeClient;
    keys: Pick<Collection<LtiKey>, 'get'>;
    written: Written<LtiKey>;
    clock: Clock;
  }) {
    this.#client = options.client;
    this.#keys = options.keys;
    this.#written = options.written;
    this.#clock = options.clock;
  }

  /** The newest version known. */
  find(key: string): LtiKey | undefined {
    return this.#written.newest(key, this.#keys.get(key));
  }

  /** The newest version known of an object that was read: of what a write of this process and the cache have. */
  newest(read: LtiKey): LtiKey {
    return this.#written.newest(objectKey(read), read) ?? read;
  }

  /** Makes the object without its status, if there is none. */
  async create(desired: LtiKey): Promise<void> {
    if (!this.find(objectKey(desired))) await this.#create(desired);
  }

  /**
   * Makes the object show what `desired` says, unless it was already written from a newer ledger. Conditions of the types in
   * `kept` stay as they are at the moment of the write: others set them.
   */
  async show(desired: LtiKey, kept: readonly string[] = []): Promise<void> {
    const existing = this.find(objectKey(desired));
    if ((existing?.status?.ledgerSerial ?? 0) > (desired.status?.ledgerSerial ?? 0)) return;
    const others = existing?.status?.conditions?.filter(({ type }) => kept.includes(type)) ?? [];
    const status = { ...desired.status!, conditions: [...(desired.status?.conditions ?? []), ...others] };
    if (existing && !isDeepStrictEqual(existing.spec, desired.spec)) await this.#client.delete(ltiKeys, existing);
    else if (existing) return this.#showStatus(existing, status);
    await this.#showStatus(await this.#create(desired), status);
  }

  /** Sets conditions of a key about which the ledger has nothing to say, and optionally takes its state away. */
  async mark(existing: LtiKey, verdicts: Readonly<Record<string, Verdict>>, clearState = false): Promise<void> {
    const now = this.#clock.now().getTime();
    const others = (existing.status?.conditions ?? []).filter(({ type }) => !(type in verdicts));
    const { state: _, ...stateless } = existing.status ?? {};
    await this.#replaceStatus(existing, {
      ...(clearState ? stateless : existing.status),
      conditions: [...others, ...conditions(verdicts, existing.status?.conditions, undefined, now)],
    });
  }

  /** One that is already gone is fine. */
  async remove(existing: LtiKey): Promise<void> {
    try {
      await this.#client.delete(ltiKeys, existing);
    } catch (error) {
      if (!isObjectNotFound(error)) throw error;
    }
    this.#written.forget(objectKey(existing));
  }

  async #create(desired: LtiKey): Promise<LtiKey> {
    const { status: _, ...bare } = desired;
    try {
      const created = await this.#client.create<LtiKey>(ltiKeys, bare);
      this.#written.remember(created);
      return created;
    } catch (error) {
      // The cache is behind, or somebody else made it: what there is now decides.
      if (!isAlreadyExists(error)) throw error;
      const { namespace, name } = desired.metadata;
      const live = await this.#client.get<LtiKey>(ltiKeys, namespace!, name);
      this.#written.remember(live);
      throw error;
    }
  }

  async #showStatus(existing: LtiKey, desired: KeyStatus): Promise<void> {
    let current = existing;
    for (const state of movesTo(existing.status?.state, desired.state!)) {
      const { state: _, ...rest } = desired;
      current = await this.#replaceStatus(current, state === undefined ? rest : { ...rest, state });
    }
  }

  async #replaceStatus(existing: LtiKey, status: KeyStatus): Promise<LtiKey> {
    // The serial alone is no change: what a key shows at one serial is what it shows at the next ones, until it changes.
    if (isDeepStrictEqual({ ...existing.status, ledgerSerial: 0 }, { ...status, ledgerSerial: 0 })) return existing;
    const written = await this.#client.replaceStatus<LtiKey>(ltiKeys, { ...existing, status });
    this.#written.remember(written);
    return written;
  }
}
