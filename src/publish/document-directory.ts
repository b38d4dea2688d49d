import { createHash } from 'node:crypto';
import { mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

const temporaryPrefix = '.tmp-';
/** Files this directory may remove: a publish directory that is set to the wrong place loses nothing else. */
const ownFile = /^(?:\.tmp-.*|all\.json|(?:namespace|registration)_.*\.json)$/;

/**
 * The publish directory. Readers see a file whole or not at all: it is written beside its place and renamed. Nothing is
 * flushed to a disk, for it is memory and is written anew by every life of the Pod.
 */
export class DocumentDirectory {
  readonly #path: string;
  readonly #digests = new Map<string, string>();
  #temporaries = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** How many documents were written. */
  get size(): number {
    return this.#digests.size;
  }

  async create(): Promise<void> {
    await mkdir(this.#path, { recursive: true });
  }

  /** Writes the file unless these are its bytes already, which come in pieces. A failure leaves the last good file. */
  async write(file: string, content: readonly string[]): Promise<void> {
    const digest = await digestOf(content);
    const known = this.#digests.get(file) ?? (await this.#digestOf(file));
    if (known !== digest) await this.replace(file, content);
    this.#digests.set(file, digest);
  }

  async remove(file: string): Promise<void> {
    await rm(join(this.#path, file), { force: true });
    this.#digests.delete(file);
  }

  /** Removes what an earlier life left: our files that are not in `wanted`, and temporary ones. */
  async removeOthers(wanted: ReadonlySet<string>): Promise<void> {
    for (const file of await readdir(this.#path)) {
      if (ownFile.test(file) && !wanted.has(file)) await this.remove(file);
    }
  }

  /** Writes the file whatever it holds. */
  async replace(file: string, content: readonly string[]): Promise<void> {
    this.#temporaries += 1;
    const temporary = join(this.#path, `${temporaryPrefix}${this.#temporaries}`);
    try {
      await using handle = await open(temporary, 'w');
      // Whatever the umask is, the sidecar reads as another user.
      await handle.chmod(0o644);
      await handle.writeFile(content);
      await rename(temporary, join(this.#path, file));
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
  }

  async #digestOf(file: string): Promise<string | undefined> {
    try {
      return createHash('sha256')
        .update(await readFile(join(this.#path, file)))
        .digest('base64');
    } catch {
      return undefined;
    }
  }
}

/** Other work gets its turn between the pieces. */
async function digestOf(content: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const [index, piece] of content.entries()) {
    if (index > 0) await setImmediate();
    hash.update(piece);
  }
  return hash.digest('base64');
}
