import { type FSWatcher, watch } from 'node:fs';
import { KeyDirectoryError } from './errors.ts';

/** Looks at a directory after each change, one look at a time. */

export interface FollowOptions {
  /** Milliseconds between two looks at the directory, 1000 by default. A watch usually reports a change earlier. */
  readonly pollInterval?: number;
  /** False: poll only. */
  readonly watch?: boolean;
}

export class Follower {
  readonly #path: string;
  readonly #options: FollowOptions;
  readonly #look: () => Promise<KeyDirectoryError | undefined>;
  readonly #timer: NodeJS.Timeout;
  #watcher: FSWatcher | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  #closed = false;

  /** `look` resolves to the fault of the directory. */
  constructor(path: string, options: FollowOptions, look: () => Promise<KeyDirectoryError | undefined>) {
    this.#path = path;
    this.#options = options;
    this.#look = look;
    this.#watch();
    this.#timer = setInterval(() => void this.refresh(), options.pollInterval ?? 1000).unref();
  }

  /** A look that is under way may have missed the latest change, so another one follows it. */
  async refresh(): Promise<void> {
    this.#lookAgain = true;
    this.#looking ??= this.#lookUntilCurrent();
    await this.#looking;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#endWatch();
  }

  async #lookUntilCurrent(): Promise<void> {
    while (this.#lookAgain && !this.#closed) {
      this.#lookAgain = false;
      const fault = await this.#look();
      // The watch of a directory that is gone sees nothing of its successor.
      if (fault) this.#endWatch();
      else if (!this.#watcher) this.#watch();
    }
    this.#looking = undefined;
  }

  /** Watches the directory, because a file's watch ends with the file. Where no watch is to be had, polling remains. */
  #watch(): void {
    if (this.#options.watch === false || this.#closed) return;
    try {
      this.#watcher = watch(this.#path, { persistent: false }, () => void this.refresh());
      this.#watcher.on('error', () => this.#endWatch());
    } catch {
      this.#watcher = undefined;
    }
  }

  #endWatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

/** More swaps than that in a row are no rotation. */
const attempts = 20;

/** Reads what did not change meanwhile, and names the version. */
export async function readStable<T>(
  path: string,
  versionName: () => Promise<string>,
  read: () => Promise<T>,
): Promise<{ readonly name: string; readonly read: T }> {
  for (let attempt = 1; ; attempt++) {
    const name = await versionName().catch((error: unknown) => error as KeyDirectoryError);
    try {
      if (name instanceof Error) throw name;
      const value = await read();
      if (name === (await versionName())) return { name, read: value };
    } catch (error) {
      const after = await versionName().catch(() => undefined);
      if (after === undefined || after === name || attempt === attempts) throw error;
    }
    if (attempt === attempts) {
      const remedy = 'let only the kubelet write it';
      throw new KeyDirectoryError('FilesDisagree', path, 'it changes faster than it can be read', remedy);
    }
  }
}

/** The message of any other error may quote a private file. */
export function known(error: unknown, path: string): KeyDirectoryError {
  if (error instanceof KeyDirectoryError) return error;
  return new KeyDirectoryError('FileUnreadable', path, 'reading fails unexpectedly', 'report this as a defect');
}
