import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { fingerprint, missingKek, readKekDirectory, type KekDirectory } from './kek-directory.ts';
import { KekError } from './kek-error.ts';
import type { Kek, KekProvider, KekStatus } from './keyring.ts';

interface Snapshot extends KekDirectory {
  readonly fingerprint: string;
}

/** How long a change of the directory may go unnoticed. A KEK that is asked for and absent is looked for at once. */
const checkIntervalMs = 2_000;
/** A mount may swap while it is read; after this many tries the next check settles it. */
const readAttempts = 3;

/**
 * KEKs from a directory, one 256-bit key per file in base64; the file name is the KEK ID and the file `primary` names
 * the one that seals. Follows changes of the directory. The operator only reads it: it never makes a KEK.
 */
export class FileKekProvider implements KekProvider {
  readonly #directory: string;
  readonly #clock: Clock;
  /** Digest of every key that has opened something, by ID. */
  readonly #confirmed = new Map<string, string>();
  #snapshot: Snapshot | undefined;
  #checkedAt = -Infinity;
  #refreshing: Promise<Snapshot> | undefined;

  constructor({ directory, clock }: { directory: string; clock: Clock }) {
    this.#directory = directory;
    this.#clock = clock;
  }

  async status(): Promise<KekStatus> {
    const snapshot = await this.#current();
    const ids = new Set(snapshot.files.keys());
    if (typeof snapshot.primary === 'string') ids.add(snapshot.primary);
    const problems = [...ids].map((id) => this.#find(snapshot, id)).filter((found) => found instanceof KekError);
    if (snapshot.primary instanceof KekError)
      return { sealingKeyID: undefined, problems: [snapshot.primary, ...problems] };
    const sealing = this.#find(snapshot, snapshot.primary);
    return { sealingKeyID: sealing instanceof KekError ? undefined : sealing.id, problems };
  }

  async sealingKey(): Promise<Kek> {
    return this.#get((snapshot) =>
      snapshot.primary instanceof KekError ? snapshot.primary : this.#find(snapshot, snapshot.primary),
    );
  }

  async openingKey(kekID: string): Promise<Kek> {
    return this.#get((snapshot) => this.#find(snapshot, kekID));
  }

  /** A miss looks again before it is believed: the mount may be newer than the last check. */
  async #get(choose: (snapshot: Snapshot) => Kek | KekError): Promise<Kek> {
    const first = choose(await this.#current());
    const kek = first instanceof KekError ? choose(await this.#refresh()) : first;
    if (kek instanceof KekError) throw kek;
    return kek;
  }

  #find(snapshot: Snapshot, id: string): Kek | KekError {
    const file = snapshot.files.get(id);
    if (file instanceof KekError) return file;
    if (!file) return snapshot.directoryError ?? missingKek(this.#directory, id);
    const confirmed = this.#confirmed.get(id);
    if (confirmed !== undefined && confirmed !== file.digest) {
      return new KekError(
        'KEKChanged',
        `KEK file ${join(this.#directory, id)} holds another key than the one in use under this name: put the former back and give the new one a name of its own.`,
      );
    }
    return { id, key: file.key, confirm: () => void this.#confirmed.set(id, file.digest) };
  }

  async #current(): Promise<Snapshot> {
    const fresh = this.#clock.monotonic() - this.#checkedAt < checkIntervalMs;
    return fresh && this.#snapshot ? this.#snapshot : this.#refresh();
  }

  #refresh(): Promise<Snapshot> {
    this.#refreshing ??= this.#read().finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #read(attempt = 1): Promise<Snapshot> {
    const seen = await fingerprint(this.#directory);
    if (this.#snapshot?.fingerprint !== seen) {
      this.#snapshot = { ...(await readKekDirectory(this.#directory)), fingerprint: seen };
      if (attempt < readAttempts) return this.#read(attempt + 1);
    }
    this.#checkedAt = this.#clock.monotonic();
    return this.#snapshot;
  }
}
