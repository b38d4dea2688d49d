import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { call, type DeliveredKey, FollowedKey, type Found, warn } from './delivered-key.ts';
import type { KeyDirectoryError } from './errors.ts';
import { bundleVersionName, readBundle, type ReadFiles } from './files.ts';
import { Follower, type FollowOptions, known, readStable } from './follower.ts';
import { type Delivery, noFiles, type Place, type RecipientKey, versionOf } from './version.ts';

export interface KeyBundleOptions extends FollowOptions {
  /** The private key of `spec.delivery.recipient`, if the registrations have one. */
  readonly recipientKey?: RecipientKey;
}

/** The keys of all registrations of a bundle, with one watch and one poll. Iterate over it for the keys. */
export interface KeyBundle extends Iterable<DeliveredKey> {
  readonly path: string;
  /**
   * The key of the LtiRegistration with this name, `undefined` if the bundle never had it. One that left the bundle has the fault
   * `DirectoryMissing` and keeps its last good version. `current` of one that never had a usable key throws its fault.
   */
  get(registration: string): DeliveredKey | undefined;
  /** The key of the registration with this issuer and client ID, as a login request has them, if one with a usable key has both. */
  find(issuer: string, clientID: string): DeliveredKey | undefined;
  /**
   * Calls `listener` after each change of a key, and with the `previous` version `undefined` after the first key of a registration.
   * Returns a function that ends this.
   */
  onChange(listener: BundleListener): () => void;
  /** Why the directory cannot be read now. A fault of one registration is that of its key. */
  fault(): KeyDirectoryError | undefined;
  /** Reads the directory now. */
  refresh(): Promise<void>;
  /** Ends the watch and the polling. `current` of all keys then throws. */
  close(): void;
}

export type BundleListener = (key: DeliveredKey, current: Delivery, previous: Delivery | undefined) => unknown;

/**
 * Opens the mounted Secrets of a bundle (`spec.delivery.bundle`) and follows them: a registration that is added appears without a
 * restart. It rejects with a `KeyDirectoryError` if the directory cannot be read. An empty bundle is none of these cases.
 */
export async function openKeyBundle(path: string, options: KeyBundleOptions = {}): Promise<KeyBundle> {
  const bundle = new FollowedBundle(path, options);
  await bundle.refresh();
  const fault = bundle.fault();
  if (!fault) return bundle;
  bundle.close();
  throw fault;
}

class FollowedBundle implements KeyBundle {
  readonly path: string;
  readonly #recipientKey: RecipientKey | undefined;
  readonly #members = new Map<string, BundledKey>();
  readonly #changed = new Set<BundleListener>();
  readonly #follower: Follower;
  #name: string | undefined;
  #fault: KeyDirectoryError | undefined;
  #closed = false;

  constructor(path: string, options: KeyBundleOptions) {
    this.path = path;
    this.#recipientKey = options.recipientKey;
    this.#follower = new Follower(path, options, () => this.#look());
  }

  get(registration: string): DeliveredKey | undefined {
    return this.#members.get(registration);
  }

  find(issuer: string, clientID: string): DeliveredKey | undefined {
    for (const member of this.#members.values()) {
      const entry = member.usable()?.registration;
      if (entry?.issuer === issuer && entry.client_id === clientID) return member;
    }
    return undefined;
  }

  [Symbol.iterator](): Iterator<DeliveredKey> {
    return this.#members.values();
  }

  onChange(listener: BundleListener): () => void {
    this.#changed.add(listener);
    return () => this.#changed.delete(listener);
  }

  fault(): KeyDirectoryError | undefined {
    return this.#fault;
  }

  refresh(): Promise<void> {
    return this.#follower.refresh();
  }

  close(): void {
    this.#closed = true;
    this.#follower.close();
    for (const member of this.#members.values()) member.end();
  }

  async #look(): Promise<KeyDirectoryError | undefined> {
    const began = performance.now();
    try {
      if (this.#fault || (await bundleVersionName(this.path)) !== this.#name) await this.#read(began);
      else for (const member of this.#members.values()) member.confirm(began);
      this.#fault = undefined;
    } catch (error) {
      this.#report(known(error, this.path), began);
    }
    return this.#fault;
  }

  async #read(began: number): Promise<void> {
    const { name, read } = await readStable(
      this.path,
      () => bundleVersionName(this.path),
      () => readBundle(this.path),
    );
    for (const [registration, files] of read) await this.#take(registration, files, began);
    for (const [registration, member] of this.#members) {
      if (read.has(registration)) continue;
      member.digest = undefined;
      member.accept({ kind: 'fault', error: noFiles(member.place) }, began);
    }
    this.#name = name;
  }

  /** Parses and verifies only what changed, because one swap rewrites the files of all registrations. */
  async #take(registration: string, files: ReadFiles, began: number): Promise<void> {
    const digest = digestOf(files);
    const member = this.#members.get(registration);
    if (member?.digest === digest) return this.#accept(member, member.found, began);
    const place = { path: this.path, prefix: `${registration}.` };
    const found = await versionOf(files, place, this.#recipientKey).catch((error: unknown): Found => ({
      kind: 'fault',
      error: known(error, this.path),
    }));
    // Each key takes about a millisecond.
    await setImmediate();
    if (this.#closed) return;
    if (member) {
      Object.assign(member, { digest, found });
      this.#accept(member, found, began);
      return;
    }
    const added = new BundledKey(place, registration, digest, found, () => this.refresh());
    this.#members.set(registration, added);
    if (found.kind === 'key') this.#tell(added, found.delivery, undefined);
    else warn(found.error.message);
  }

  #accept(member: BundledKey, found: Found, began: number): void {
    const change = member.accept(found, began);
    if (change) this.#tell(member, change.current, change.previous);
  }

  #tell(member: BundledKey, current: Delivery, previous: Delivery | undefined): void {
    this.#changed.forEach((listener) => call(() => listener(member, current, previous)));
  }

  /** One warning for all registrations. */
  #report(fault: KeyDirectoryError, began: number): void {
    const isWarned = this.#fault?.message === fault.message;
    this.#fault = fault;
    const found = { kind: 'fault', error: fault } as const;
    for (const member of this.#members.values()) member.accept(found, began, true);
    if (this.#members.size > 0 && !isWarned) warn(`${fault.message}; the last good keys stay in use`);
  }
}

class BundledKey extends FollowedKey {
  readonly place: Place;
  readonly #refresh: () => Promise<void>;
  /** Of the files that `found` was made from; `undefined` if there are none. */
  digest: string | undefined;
  found: Found;

  constructor(place: Place, registration: string, digest: string, found: Found, refresh: () => Promise<void>) {
    super(place.path, registration, found);
    this.place = place;
    this.digest = digest;
    this.found = found;
    this.#refresh = refresh;
  }

  refresh(): Promise<void> {
    return this.#refresh();
  }
}

function digestOf({ files }: ReadFiles): string {
  return createHash('sha256')
    .update(JSON.stringify(files, Object.keys(files).toSorted()))
    .digest('base64');
}
