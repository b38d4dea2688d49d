import { createHash } from 'node:crypto';
import { mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { heartbeatFile } from '../documents/heartbeat.ts';
import { documentOwner } from '../documents/document-names.ts';
import { setImmediate } from 'node:timers/promises';

const temporaryPrefix = '.tmp-';

/** A text that is to become a file name and is not that of a document: it may be too long, or lead somewhere else. */
export class FileNameError extends Error {
  override readonly name = 'FileNameError';
  readonly code = 'FileName';
}

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

  /** Makes it, and removes what an earlier life did not finish to write. */
  async prepare(): Promise<void> {
    await mkdir(this.#path, { recursive: true });
    const files = await readdir(this.#path);
    for (const file of files.filter((name) => name.startsWith(temporaryPrefix))) await rm(join(this.#path, file));
  }

  /** The names of all documents that are there, of whatever life. Any other file is out of sight, and safe. */
  async documents(): Promise<readonly string[]> {
    return (await readdir(this.#path)).filter((file) => documentOwner(file) !== undefined);
  }

  /** `undefined` where there is no such document. */
  async read(file: string): Promise<Buffer | undefined> {
    try {
      return await readFile(this.#placeOf(file));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Writes the document unless these are its bytes already, which come in pieces. A failure leaves the last good file. */
  async write(file: string, content: readonly string[]): Promise<void> {
    const digest = await digestOf(content);
    const known = this.#digests.get(file) ?? (await this.#digestOf(file));
    if (known !== digest) await this.#replace(this.#placeOf(file), content);
    this.#digests.set(file, digest);
  }

  async remove(file: string): Promise<void> {
    await rm(this.#placeOf(file), { force: true });
    this.#digests.delete(file);
  }

  async writeHeartbeat(text: string): Promise<void> {
    await this.#replace(join(this.#path, heartbeatFile), [text]);
  }

  async #replace(place: string, content: readonly string[]): Promise<void> {
    this.#temporaries += 1;
    const temporary = join(this.#path, `${temporaryPrefix}${this.#temporaries}`);
    try {
      await using handle = await open(temporary, 'w');
      // Whatever the umask is, the sidecar reads as another user.
      await handle.chmod(0o644);
      await handle.writeFile(content);
      await rename(temporary, place);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
  }

  /** Throws FileNameError. */
  #placeOf(file: string): string {
    if (documentOwner(file) === undefined) throw new FileNameError('no document can have this name');
    return join(this.#path, file);
  }

  async #digestOf(file: string): Promise<string | undefined> {
    try {
      return createHash('sha256')
        .update(await readFile(this.#placeOf(file)))
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
