import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  rename,
  rm,
  rmdir,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { errorCode } from '../lib/error-code.ts';

/** Marks a directory as one of `kubectl lti dev`. The kubelet reserves names that begin with two dots, so tools ignore it. */
const marker = '..kubectl-lti-dev';
const dataLink = '..data';
const newDataLink = '..data_tmp';
const version = /^\.\.\d{4}(?:_\d\d){5}\./;

/** Why a directory cannot be used. The message names the directory and the remedy. */
export class MountedDirectoryError extends Error {
  override readonly name = 'MountedDirectoryError';
}

/**
 * A directory that is written as the kubelet writes a mounted Secret (Kubernetes, pkg/volume/util/atomic_writer.go): every version is a
 * directory of its own, and renaming the link `..data` makes it the present one. Only the user of this process can read it.
 */
export class MountedDirectory {
  readonly path: string;
  readonly #isNew: boolean;
  readonly #clock: Clock;
  #current: string | undefined;

  private constructor(path: string, isNew: boolean, clock: Clock) {
    this.path = path;
    this.#isNew = isNew;
    this.#clock = clock;
  }

  /**
   * Takes a directory that does not exist, is empty, or was left by an earlier run, whose files are deleted. Rejects with a
   * {@link MountedDirectoryError} for any other.
   */
  static async claim(path: string, clock: Clock): Promise<MountedDirectory> {
    try {
      const isNew = (await mkdir(path, { recursive: true, mode: 0o700 })) !== undefined;
      const names = await readdir(path);
      if (names.length > 0) await requireOwn(path, names);
      await chmod(path, 0o700);
      const directory = new MountedDirectory(path, isNew, clock);
      await writeFile(join(path, marker), '', { mode: 0o600 });
      await directory.#deleteFiles();
      return directory;
    } catch (error) {
      if (error instanceof MountedDirectoryError) throw error;
      const message = `${path} cannot be used as the delivery directory (${errorCode(error)}): choose a directory that you may create`;
      throw new MountedDirectoryError(message);
    }
  }

  /** Makes `files` (name → text) the present version. Rejects if another process has written the directory meanwhile. */
  async swap(files: Readonly<Record<string, string>>): Promise<void> {
    const link = join(this.path, dataLink);
    const found = await this.#shownVersion();
    if (found !== this.#current) {
      const message = `another process writes ${this.path}: end it, or choose another directory`;
      throw new MountedDirectoryError(message);
    }
    const stamp = this.#clock.now().toISOString().slice(0, 19).replaceAll(/[-:T]/g, '_');
    const target = await mkdtemp(join(this.path, `..${stamp}.`));
    for (const [name, text] of Object.entries(files)) await writeFile(join(target, name), text, { mode: 0o600 });
    this.#current = target.slice(this.path.length).replace(/^[/\\]/, '');
    await symlink(this.#current, join(this.path, newDataLink));
    await rename(join(this.path, newDataLink), link);
    await this.#showFiles(Object.keys(files));
    if (found !== undefined) await rm(join(this.path, found), { recursive: true });
  }

  /** Deletes the keys, and the directory if `claim` created it. What another process has written meanwhile stays. */
  async remove(): Promise<void> {
    try {
      if ((await this.#shownVersion()) !== this.#current) return;
      await this.#deleteFiles();
      await rm(join(this.path, marker), { force: true });
      if (this.#isNew) await rmdir(this.path);
    } catch (error) {
      const message = `private keys may remain in ${this.path} (${errorCode(error)}): delete the directory`;
      throw new MountedDirectoryError(message);
    }
  }

  async #shownVersion(): Promise<string | undefined> {
    return readlink(join(this.path, dataLink)).catch(() => undefined);
  }

  /** Links each file of the present version, and removes the links of files that it lacks. */
  async #showFiles(wanted: readonly string[]): Promise<void> {
    const shown = (await readdir(this.path)).filter((name) => !name.startsWith('..'));
    for (const name of wanted) if (!shown.includes(name)) await symlink(join(dataLink, name), join(this.path, name));
    for (const name of shown) if (!wanted.includes(name)) await rm(join(this.path, name));
  }

  async #deleteFiles(): Promise<void> {
    const names = (await readdir(this.path)).filter((name) => name !== marker);
    // The versions have the keys.
    names.sort((a, b) => Number(version.test(b)) - Number(version.test(a)));
    for (const name of names) await rm(join(this.path, name), { recursive: true, force: true });
    this.#current = undefined;
  }
}

/** A directory of an earlier run has the marker, and nothing that such a run does not write. */
async function requireOwn(path: string, names: readonly string[]): Promise<void> {
  const refuse = (what: string): never => {
    throw new MountedDirectoryError(
      `${path} ${what}: nothing was changed; choose an empty directory, or one that does not exist`,
    );
  };
  if (!names.includes(marker)) refuse('is not empty, and kubectl lti dev did not create it');
  for (const name of names) {
    const isKnown = [marker, newDataLink].includes(name) || version.test(name) || (await isLink(join(path, name)));
    if (!isKnown) refuse(`has ${name}, which kubectl lti dev did not create`);
  }
}

async function isLink(path: string): Promise<boolean> {
  return (await lstat(path)).isSymbolicLink();
}
