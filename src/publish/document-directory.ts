import { createHash } from 'node:crypto';
import { mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { heartbeatFile } from '../documents/heartbeat.ts';
import { documentOwner } from '../documents/document-names.ts';
import { setImmediate } from 'node:timers/promises';
import { errorCode } from '../lib/error-code.ts';

const temporaryPrefix = '.tmp-';

/** A file name that no document can have: it may be too long, or lead to another directory. */
export class FileNameError extends Error {
  override readonly name = 'FileNameError';
  readonly code = 'FileName';
}

/**
 * The publish directory. Readers never see a part of a file: it is written under a temporary name and renamed. Nothing is synced to
 * disk, because the directory is in memory and every run of the Pod writes it again.
 */
export class DocumentDirectory {
  readonly #path: string;
  readonly #digests = new Map<string, string>();
  #temporaries = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** The number of documents that were written. */
  get size(): number {
    return this.#digests.size;
  }

  /** Creates the directory, and removes the temporary files of a previous run. */
  async prepare(): Promise<void> {
    await mkdir(this.#path, { recursive: true });
    const files = await readdir(this.#path);
    for (const file of files.filter((name) => name.startsWith(temporaryPrefix))) await rm(join(this.#path, file));
  }

  /** The files of all documents in the directory, including those of a previous run. Other files are ignored. */
  async documents(): Promise<readonly string[]> {
    return (await readdir(this.#path)).filter((file) => documentOwner(file) !== undefined);
  }

  /** `undefined` if there is no such document. */
  async read(file: string): Promise<Buffer | undefined> {
    try {
      return await readFile(this.#pathOf(file));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Writes the document from pieces, unless the file has these bytes already. A failure leaves the last good file. */
  async write(file: string, content: readonly string[]): Promise<void> {
    const digest = await contentDigest(content);
    const known = this.#digests.get(file) ?? (await this.#digestOf(file));
    if (known !== digest) await this.#replace(this.#pathOf(file), content);
    this.#digests.set(file, digest);
  }

  async remove(file: string): Promise<void> {
    await rm(this.#pathOf(file), { force: true });
    this.#digests.delete(file);
  }

  /** The written documents whose files something else deleted, each reported once. */
  async takeDeleted(): Promise<readonly string[]> {
    const files = new Set(await readdir(this.#path));
    const deleted = [...this.#digests.keys()].filter((file) => !files.has(file));
    for (const file of deleted) this.#digests.delete(file);
    return deleted;
  }

  async writeHeartbeat(text: string): Promise<void> {
    await this.#replace(join(this.#path, heartbeatFile), [text]);
  }

  async #replace(place: string, content: readonly string[]): Promise<void> {
    this.#temporaries += 1;
    const temporary = join(this.#path, `${temporaryPrefix}${this.#temporaries}`);
    try {
      await using handle = await open(temporary, 'w');
      // Independent of the umask: the sidecar may run as another user.
      await handle.chmod(0o644);
      await handle.writeFile(content);
      await rename(temporary, place);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
  }

  /** Throws FileNameError. */
  #pathOf(file: string): string {
    if (documentOwner(file) === undefined) throw new FileNameError('no document can have this name');
    return join(this.#path, file);
  }

  async #digestOf(file: string): Promise<string | undefined> {
    try {
      return createHash('sha256')
        .update(await readFile(this.#pathOf(file)))
        .digest('base64');
    } catch {
      return undefined;
    }
  }
}

/** Yields to the event loop between the pieces. */
async function contentDigest(content: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const [index, piece] of content.entries()) {
    if (index > 0) await setImmediate();
    hash.update(piece);
  }
  return hash.digest('base64');
}
