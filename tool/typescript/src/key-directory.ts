import { type FSWatcher, watch } from 'node:fs';
import { KeyDirectoryError } from './errors.ts';
import { type Delivery, isSame, readVersion, type RecipientKey, versionName } from './version.ts';

export interface KeyDirectoryOptions {
  /** The name of the LtiRegistration, if the directory is a bundle (`spec.delivery.bundle`). */
  readonly registration?: string;
  /** The private key of `spec.delivery.recipient`, if the registration has one. */
  readonly recipientKey?: RecipientKey;
  /** Milliseconds between two looks at the directory, 1000 by default. A watch usually reports a change earlier. */
  readonly pollInterval?: number;
  /** False: poll only. */
  readonly watch?: boolean;
}

export interface KeyDirectory {
  readonly path: string;
  /**
   * The key to sign with, and what belongs to it, from one version of the directory. It does no I/O. Call it for each signature. On a
   * fault it returns the last good version. It throws after the operator has withdrawn the key and after `close`.
   */
  current(): Delivery;
  /** Calls `listener` with the new and the previous version after each change, and returns a function that ends this. */
  onChange(listener: (current: Delivery, previous: Delivery) => void): () => void;
  /**
   * Calls `listener` when a fault begins or becomes another one, and with `undefined` when it ends. Without a listener, a fault is a
   * warning of the process.
   */
  onFault(listener: (fault: KeyDirectoryError | undefined) => void): () => void;
  /** Why the directory cannot be read now; `current` then returns the last good version. */
  fault(): KeyDirectoryError | undefined;
  /** Seconds since the directory was last seen to have what `current` returns: a gauge to alert on. */
  age(): number;
  /** Reads the directory now, for example after a platform refused a token. */
  refresh(): Promise<void>;
  close(): void;
}

/** Opens a mounted delivery Secret and follows it. It rejects with a `KeyDirectoryError` if there is no usable key. */
export async function openKeyDirectory(path: string, options: KeyDirectoryOptions = {}): Promise<KeyDirectory> {
  const { name, version } = await readStable(path, options);
  if (version.kind === 'withdrawn') throw version.error;
  return new FollowedDirectory(path, options, name, version.delivery);
}

/** More swaps than that in a row are no rotation. */
const attempts = 20;

/** Reads a version that did not change meanwhile. */
async function readStable(path: string, options: KeyDirectoryOptions) {
  const prefix = prefixOf(options);
  for (let attempt = 1; ; attempt++) {
    const name = await versionName(path, prefix).catch((error: unknown) => error as KeyDirectoryError);
    try {
      if (name instanceof Error) throw name;
      const version = await readVersion(path, options.recipientKey, prefix);
      if (name === (await versionName(path, prefix))) return { name, version };
    } catch (error) {
      const after = await versionName(path, prefix).catch(() => undefined);
      if (after === undefined || after === name || attempt === attempts) throw error;
    }
    if (attempt === attempts) {
      const remedy = 'let only the kubelet write it';
      throw new KeyDirectoryError('FilesDisagree', path, 'it changes faster than it can be read', remedy);
    }
  }
}

/** Of the files of a registration in a bundle. A name with other characters could lead out of the directory. */
function prefixOf({ registration }: KeyDirectoryOptions): string {
  if (registration === undefined) return '';
  if (/^[a-z0-9][-.a-z0-9]*$/.test(registration)) return `${registration}.`;
  throw new TypeError('registration must be the name of an LtiRegistration: lower-case letters, digits, - and .');
}

function isKnown(error: unknown): error is KeyDirectoryError {
  return error instanceof KeyDirectoryError;
}

/** The original error may quote a private file. */
function unexpected(path: string): KeyDirectoryError {
  return new KeyDirectoryError('FileUnreadable', path, 'reading fails unexpectedly', 'report this as a defect');
}

class FollowedDirectory implements KeyDirectory {
  readonly path: string;
  readonly #options: KeyDirectoryOptions;
  readonly #changed = new Set<(current: Delivery, previous: Delivery) => void>();
  readonly #faulted = new Set<(fault: KeyDirectoryError | undefined) => void>();
  readonly #timer: NodeJS.Timeout;
  #name: string;
  #last: Delivery;
  /** Why `current` throws. */
  #refusal: KeyDirectoryError | undefined;
  #fault: KeyDirectoryError | undefined;
  #confirmedAt = performance.now();
  #watcher: FSWatcher | undefined;
  #look: Promise<void> | undefined;
  #lookAgain = false;

  constructor(path: string, options: KeyDirectoryOptions, name: string, delivery: Delivery) {
    this.path = path;
    this.#options = options;
    this.#name = name;
    this.#last = delivery;
    this.#watch();
    this.#timer = setInterval(() => void this.refresh(), options.pollInterval ?? 1000).unref();
    // A swap between the first read and the watch.
    void this.refresh();
  }

  current(): Delivery {
    if (this.#refusal) throw this.#refusal;
    return this.#last;
  }

  onChange(listener: (current: Delivery, previous: Delivery) => void): () => void {
    this.#changed.add(listener);
    return () => this.#changed.delete(listener);
  }

  onFault(listener: (fault: KeyDirectoryError | undefined) => void): () => void {
    this.#faulted.add(listener);
    return () => this.#faulted.delete(listener);
  }

  fault(): KeyDirectoryError | undefined {
    return this.#fault;
  }

  age(): number {
    return (performance.now() - this.#confirmedAt) / 1000;
  }

  /** A look that is under way may have missed the latest change, so another one follows it. */
  async refresh(): Promise<void> {
    if (this.#refusal?.code === 'Closed') return;
    this.#lookAgain = true;
    this.#look ??= this.#lookUntilCurrent();
    await this.#look;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watcher?.close();
    this.#refusal = new KeyDirectoryError('Closed', this.path, 'it was closed', 'open it again');
  }

  async #lookUntilCurrent(): Promise<void> {
    while (this.#lookAgain && this.#refusal?.code !== 'Closed') {
      this.#lookAgain = false;
      try {
        await this.#readIfChanged();
      } catch (error) {
        this.#report(isKnown(error) ? error : unexpected(this.path));
      }
    }
    this.#look = undefined;
  }

  async #readIfChanged(): Promise<void> {
    const began = performance.now();
    if (this.#fault || (await versionName(this.path, prefixOf(this.#options))) !== this.#name) {
      const { name, version } = await readStable(this.path, this.#options);
      if (this.#refusal?.code === 'Closed') return;
      const previous = this.#last;
      this.#name = name;
      this.#refusal = version.kind === 'withdrawn' ? version.error : undefined;
      if (version.kind === 'key' && !isSame(version.delivery, previous)) this.#last = version.delivery;
      this.#confirmedAt = began;
      this.#report(this.#refusal);
      if (this.#last !== previous)
        this.#changed.forEach((listener) => queueMicrotask(() => listener(this.#last, previous)));
    }
    this.#confirmedAt = began;
    if (!this.#watcher) this.#watch();
  }

  #report(fault: KeyDirectoryError | undefined): void {
    if (this.#refusal?.code === 'Closed') return;
    const before = this.#fault;
    this.#fault = fault;
    // The watch of a directory that is gone sees nothing of its successor.
    if (fault) this.#endWatch();
    if (before?.message === fault?.message) return;
    if (fault && this.#faulted.size === 0) this.#warn(fault);
    this.#faulted.forEach((listener) => queueMicrotask(() => listener(fault)));
  }

  /** A tool that listens to no fault finds it in its log all the same. */
  #warn(fault: KeyDirectoryError): void {
    const stays = `the key ${this.#last.keyID} stays in use, last confirmed ${Math.round(this.age())} s ago`;
    process.emitWarning(this.#refusal ? fault.message : `${fault.message}; ${stays}`, 'KeyDirectoryWarning');
  }

  /** Watches the directory, because a file's watch ends with the file. Where no watch is to be had, polling remains. */
  #watch(): void {
    if (this.#options.watch === false) return;
    try {
      this.#watcher = watch(this.path, { persistent: false }, () => void this.refresh());
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
