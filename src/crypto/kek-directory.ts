import { createHash, type webcrypto } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../lib/error-code.ts';
import { importAesKw } from './aes-kw.ts';
import { KekError } from './errors.ts';

export interface KekFile {
  readonly key: webcrypto.CryptoKey;
  /** SHA-256 of the key, to detect changes. It never leaves the process. */
  readonly digest: string;
}

/** The content of a KEK directory. One bad file does not disable the others. */
export interface KekDirectory {
  /** Why the directory cannot be read; `files` is then empty. */
  readonly directoryError?: KekError;
  /** The content of the file `primary`, or why it cannot be used. */
  readonly primary: string | KekError;
  readonly files: ReadonlyMap<string, KekFile | KekError>;
}

const primaryFile = 'primary';
const kekID = /^[A-Za-z0-9._-]{1,63}$/;
/** 32 bytes in base64, as `openssl rand -base64 32` prints them; the last character carries four bits and two zeros. */
const base64Key = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\s*$/;
/** A key file has 45 bytes and `primary` at most 64, so larger files are not read into memory. */
const longestFile = 1024;
/** Where users edit the files, which are mounted read-only. */
const volume = 'the mounted volume (by default, the Secret lti-key-operator-kek)';

/** Reads every KEK and zeroes the buffers that it read. The keys cannot be exported. Never throws for a bad file. */
export async function readKekDirectory(directory: string): Promise<KekDirectory> {
  let names: string[];
  try {
    names = await listFiles(directory);
  } catch (error) {
    const message = `KEK directory ${directory} cannot be listed (${errorCode(error)}): mount it, or name another directory with --kek-dir`;
    const directoryError = new KekError('KEKDirectoryMissing', message);
    return { directoryError, primary: directoryError, files: new Map() };
  }
  const files = new Map<string, KekFile | KekError>();
  for (const name of names.filter((each) => each !== primaryFile)) {
    const file = await settle(() => readKek(directory, name));
    if (file) files.set(name, file);
  }
  const primary = names.includes(primaryFile) ? await settle(() => readPrimary(directory)) : undefined;
  return { primary: primary ?? noPrimary(directory, 'is missing'), files };
}

/** Changes whenever a file of the directory changes, including when a mount replaces the target of its `..data` link. */
export async function fingerprint(directory: string): Promise<string> {
  try {
    const names = await listFiles(directory);
    const lines = names.map(async (name) => {
      const at = await stat(join(directory, name), { bigint: true }).catch(errorCode);
      return typeof at === 'string' ? `${name} ${at}` : `${name} ${at.ino} ${at.size} ${at.mtimeNs} ${at.ctimeNs}`;
    });
    return (await Promise.all(lines)).join('\n');
  } catch (error) {
    return errorCode(error);
  }
}

export function missingKek(directory: string, id: string): KekError {
  const file = join(directory, id);
  return new KekError(
    'KEKMissing',
    `KEK file ${file} is missing: restore the same key from your backup into ${volume}. Never create a new key under this name: it cannot open what the old key sealed`,
  );
}

/** Leaves out entries such as `..data`, which mounted Secrets have. */
async function listFiles(directory: string): Promise<string[]> {
  const names = await readdir(directory);
  return names.filter((name) => !name.startsWith('.')).toSorted();
}

/** Undefined for anything other than a file, such as the `lost+found` of a volume. */
async function readKek(directory: string, name: string): Promise<KekFile | undefined> {
  const path = join(directory, name);
  const malformed = (what: string): KekError =>
    new KekError(
      'KEKMalformed',
      `KEK file ${path} ${what}: restore the same key from your backup into ${volume}. If this KEK never sealed anything, write 32 random bytes in base64 on one line`,
    );
  const bytes = await readSmallFile(path);
  if (bytes === undefined) return undefined;
  const text = bytes.toString('latin1');
  bytes.fill(0);
  if (!kekID.test(name)) {
    throw new KekError(
      'KEKMalformed',
      `KEK file ${path} has a name that is not a valid KEK ID: rename it to at most 63 letters, digits, dots, dashes and underscores`,
    );
  }
  if (!base64Key.test(text)) throw malformed('does not contain 256 bits in base64 on one line');
  const key = Buffer.from(text, 'base64');
  if (key.every((byte) => byte === 0)) throw malformed('contains only zeros');
  const digest = createHash('sha256').update(key).digest('base64');
  return { key: await importAesKw(key), digest };
}

async function readPrimary(directory: string): Promise<string | undefined> {
  const id = (await readSmallFile(join(directory, primaryFile)))?.toString('latin1').trimEnd();
  if (id !== undefined && (!kekID.test(id) || id === primaryFile)) throw noPrimary(directory, 'names no KEK');
  return id;
}

function noPrimary(directory: string, what: string): KekError {
  const path = join(directory, primaryFile);
  return new KekError(
    'KEKPrimaryMissing',
    `KEK file ${path} ${what}: in ${volume}, write the name of the KEK file that seals, such as kek-1, into it`,
  );
}

/** Undefined for anything other than a file, and empty for a file that is too large. */
async function readSmallFile(path: string): Promise<Buffer | undefined> {
  try {
    const at = await stat(path);
    if (!at.isFile()) return undefined;
    return at.size > longestFile ? Buffer.alloc(0) : await readFile(path);
  } catch (error) {
    const message = `KEK file ${path} cannot be read (${errorCode(error)}): make it readable for the user that the operator runs as`;
    throw new KekError('KEKUnreadable', message);
  }
}

async function settle<T>(read: () => Promise<T>): Promise<T | KekError> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof KekError) return error;
    throw error;
  }
}
