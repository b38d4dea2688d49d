import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { fingerprint, missingKek, readKekDirectory, type KekDirectory } from './kek-directory.ts';
import { KekError } from './errors.ts';
import type { Kek, KekProvider, KekStatus } from './kek-provider.ts';
import type { WrappedKey } from './wrapped-key.ts';

interface Snapshot extends KekDirectory {
  readonly fingerprint: string;
}

/** How long a change of the directory may go unnoticed. If there is a problem, the directory is read again at once. */
const checkIntervalMs = 2_000;

/**
 * KEKs in a directory, one 256-bit key per file in base64. The file name is the KEK ID, and the file `primary` names the KEK that
 * seals. Follows changes of the directory. The operator never creates a KEK.
 */
export class FileKekProvider implements KekProvider {
  readonly #directory: string;
  readonly #clock: Clock;
  /** The digest of each key that decrypted something, by ID. */
  readonly #confirmed = new Map<string, string>();
  #snapshot: Snapshot | undefined;
  #checkedAt = -Infinity;
  #refreshing: Promise<Snapshot> | undefined;

  constructor({ directory, clock }: { directory: string; clock: Clock }) {
    this.#directory = directory;
    this.#clock = clock;
  }

  async status(): Promise<KekStatus> {
    const first = this.#report(await this.#current());
    return first.problems.length === 0 ? first : this.#report(await this.#refresh());
  }

  async sealingKey(): Promise<Kek> {
    return this.#get((snapshot) =>
      snapshot.primary instanceof KekError ? snapshot.primary : this.#find(snapshot, snapshot.primary),
    );
  }

  async openingKey(kekID: string, wrapped?: WrappedKey): Promise<Kek> {
    if (wrapped) {
      const message = `KEK ${kekID} is a key in a KMS, not a file: name the socket of its plugin with --kms-socket`;
      throw new KekError('KEKMissing', message);
    }
    return this.#get((snapshot) => this.#find(snapshot, kekID));
  }

  /** Reads the directory again before it reports a problem: the mount may have been replaced since, or during the read. */
  async #get(choose: (snapshot: Snapshot) => Kek | KekError): Promise<Kek> {
    const first = choose(await this.#current());
    const kek = first instanceof KekError ? choose(await this.#refresh()) : first;
    if (kek instanceof KekError) throw kek;
    return kek;
  }

  #report(snapshot: Snapshot): KekStatus {
    const { primary } = snapshot;
    const ids = new Set(snapshot.files.keys());
    if (typeof primary === 'string') ids.add(primary);
    const problems = [...ids].map((id) => this.#find(snapshot, id)).filter((found) => found instanceof KekError);
    if (primary instanceof KekError) return { sealingKekID: undefined, problems: [primary, ...problems] };
    const usable = !(this.#find(snapshot, primary) instanceof KekError);
    return { sealingKekID: usable ? primary : undefined, problems };
  }

  #find(snapshot: Snapshot, id: string): Kek | KekError {
    const file = snapshot.files.get(id);
    if (file instanceof KekError) return file;
    if (!file) return snapshot.directoryError ?? missingKek(this.#directory, id);
    const confirmed = this.#confirmed.get(id);
    if (confirmed !== undefined && confirmed !== file.digest) {
      return new KekError(
        'KEKChanged',
        `KEK file ${join(this.#directory, id)} contains a different key than the one in use under this name: put the old key back, and add the new one under another name`,
      );
    }
    return {
      id,
      key: file.key,
      confirm: () => void this.#confirmed.set(id, file.digest),
      isConfirmed: () => this.#confirmed.get(id) === file.digest,
    };
  }

  async #current(): Promise<Snapshot> {
    const fresh = this.#clock.monotonic() - this.#checkedAt < checkIntervalMs;
    return fresh && this.#snapshot ? this.#snapshot : this.#refresh();
  }

  #refresh(): Promise<Snapshot> {
    this.#refreshing ??= this.#read().finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #read(): Promise<Snapshot> {
    // Taken before the read, so that the next check detects a change during the read.
    const seen = await fingerprint(this.#directory);
    if (this.#snapshot?.fingerprint !== seen) {
      this.#snapshot = { ...(await readKekDirectory(this.#directory)), fingerprint: seen };
    }
    this.#checkedAt = this.#clock.monotonic();
    return this.#snapshot;
  }
}
