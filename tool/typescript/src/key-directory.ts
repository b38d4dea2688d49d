import { type DeliveredKey, FollowedKey, type Found } from './delivered-key.ts';
import type { KeyDirectoryError } from './errors.ts';
import { isRegistrationName, readFiles, versionName } from './files.ts';
import { Follower, type FollowOptions, known, readStable } from './follower.ts';
import { type Place, type RecipientKey, type Version, versionOf } from './version.ts';

export interface KeyDirectoryOptions extends FollowOptions {
  /** The name of the LtiRegistration, if the directory is a bundle (`spec.delivery.bundle`). */
  readonly registration?: string;
  /** The private key of `spec.delivery.recipient`, if the registration has one. */
  readonly recipientKey?: RecipientKey;
}

/** The key of one registration, in a directory of its own or in a bundle. */
export interface KeyDirectory extends DeliveredKey {
  /** Ends the watch and the polling. `current` then throws. */
  close(): void;
}

/** Opens a mounted delivery Secret and follows it. It rejects with a `KeyDirectoryError` if there is no usable key. */
export async function openKeyDirectory(path: string, options: KeyDirectoryOptions = {}): Promise<KeyDirectory> {
  const place = { path, prefix: prefixOf(options) };
  const { name, read } = await readVersion(place, options.recipientKey);
  if (read.kind === 'withdrawn') throw read.error;
  return new FollowedDirectory(place, options, name, read);
}

function prefixOf({ registration }: KeyDirectoryOptions): string {
  if (registration === undefined) return '';
  if (isRegistrationName(registration)) return `${registration}.`;
  throw new TypeError('registration must be the name of an LtiRegistration: lower-case letters, digits, - and .');
}

function readVersion(
  place: Place,
  recipientKey: RecipientKey | undefined,
): Promise<{ readonly name: string; readonly read: Version }> {
  const { path, prefix } = place;
  return readStable(
    path,
    () => versionName(path, prefix),
    async () => versionOf(await readFiles(path, prefix), place, recipientKey),
  );
}

class FollowedDirectory extends FollowedKey implements KeyDirectory {
  readonly #place: Place;
  readonly #recipientKey: RecipientKey | undefined;
  readonly #follower: Follower;
  #name: string;

  constructor(place: Place, options: KeyDirectoryOptions, name: string, found: Found) {
    super(place.path, options.registration, found);
    this.#place = place;
    this.#recipientKey = options.recipientKey;
    this.#name = name;
    this.#follower = new Follower(place.path, options, () => this.#look());
    // A swap between the first read and the watch.
    void this.refresh();
  }

  refresh(): Promise<void> {
    return this.#follower.refresh();
  }

  close(): void {
    this.#follower.close();
    this.end();
  }

  async #look(): Promise<KeyDirectoryError | undefined> {
    const began = performance.now();
    const { path, prefix } = this.#place;
    try {
      if (!this.fault() && (await versionName(path, prefix)) === this.#name) {
        this.confirm(began);
        return undefined;
      }
      const { name, read } = await readVersion(this.#place, this.#recipientKey);
      this.#name = name;
      this.accept(read, began);
      return undefined;
    } catch (error) {
      const fault = known(error, path);
      this.accept({ kind: 'fault', error: fault }, began);
      return fault;
    }
  }
}
