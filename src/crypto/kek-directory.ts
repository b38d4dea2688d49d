import { createHash, webcrypto } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { KekError } from './kek-error.ts';

export interface KekFile {
  readonly key: webcrypto.CryptoKey;
  /** SHA-256 of the key's bytes, to tell whether they change. It stays in the process. */
  readonly digest: string;
}

/** What a KEK directory holds. One bad file does not disable the others. */
export interface KekDirectory {
  /** Why the directory itself cannot be used; then there is nothing else. */
  readonly directoryError?: KekError;
  /** The content of `primary`, or why there is none. */
  readonly primary: string | KekError;
  readonly files: ReadonlyMap<string, KekFile | KekError>;
}

const primaryFile = 'primary';
const kekID = /^[A-Za-z0-9._-]{1,63}$/;
/** 32 bytes in base64, as `openssl rand -base64 32` prints them; the last character carries four bits and two zeros. */
const base64Key = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\s*$/;
/** A key file has 45 bytes, `primary` at most 64: what is much larger is not read into memory. */
const longestFile = 1024;
/** Where people find the files: those that are mounted are read-only in the Pod. */
const mounted = 'the Secret lti-key-operator-kek, unless you mount another volume';

/** Reads every KEK. The keys cannot be exported and the buffers they were read into are zeroed. Never throws for a file. */
export async function readKekDirectory(directory: string): Promise<KekDirectory> {
  let names: string[];
  try {
    names = await listFiles(directory);
  } catch (error) {
    const message = `The KEK directory ${directory} cannot be listed (${codeOf(error)}): mount it, or name another with --kek-dir.`;
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

/** Changes whenever a file of the directory does, also when a mount swaps the target of its `..data` link. */
export async function fingerprint(directory: string): Promise<string> {
  try {
    const names = await listFiles(directory);
    const lines = names.map(async (name) => {
      const at = await stat(join(directory, name), { bigint: true }).catch(codeOf);
      return typeof at === 'string' ? `${name} ${at}` : `${name} ${at.ino} ${at.size} ${at.mtimeNs} ${at.ctimeNs}`;
    });
    return (await Promise.all(lines)).join('\n');
  } catch (error) {
    return codeOf(error);
  }
}

export function missingKek(directory: string, id: string): KekError {
  const file = join(directory, id);
  return new KekError(
    'KEKMissing',
    `KEK file ${file} is missing: put the same key back from your backup into what is mounted there (${mounted}). Never make a new key under this name: it opens nothing that was sealed before.`,
  );
}

/** Mounted Secrets have entries such as `..data` that are not keys. */
async function listFiles(directory: string): Promise<string[]> {
  const names = await readdir(directory);
  return names.filter((name) => !name.startsWith('.')).toSorted();
}

/** Undefined for what is no file, such as `lost+found` of a volume. */
async function readKek(directory: string, name: string): Promise<KekFile | undefined> {
  const path = join(directory, name);
  const malformed = (what: string): KekError =>
    new KekError(
      'KEKMalformed',
      `KEK file ${path} ${what}: put the same key back from your backup into what is mounted there (${mounted}). If nothing was ever sealed under this name, write 32 random bytes in base64 on one line.`,
    );
  const bytes = await readSmallFile(path);
  if (bytes === undefined) return undefined;
  const text = bytes.toString('latin1');
  bytes.fill(0);
  if (!kekID.test(name)) {
    throw new KekError(
      'KEKMalformed',
      `KEK file ${path} has a name that cannot be a KEK ID: rename it to at most 63 letters, digits, dots, dashes and underscores.`,
    );
  }
  if (!base64Key.test(text)) throw malformed('does not hold 256 bits in base64 on one line');
  const key = Buffer.from(text, 'base64');
  try {
    if (key.every((byte) => byte === 0)) throw malformed('holds only zeros');
    return {
      key: await webcrypto.subtle.importKey('raw', key, 'AES-KW', false, ['wrapKey', 'unwrapKey']),
      digest: createHash('sha256').update(key).digest('base64'),
    };
  } finally {
    key.fill(0);
  }
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
    `KEK file ${path} ${what}: in what is mounted there (${mounted}), let it hold the name of the KEK file that seals, for example kek-1.`,
  );
}

/** Undefined for what is no file; empty for one too large to be meant. */
async function readSmallFile(path: string): Promise<Buffer | undefined> {
  try {
    const at = await stat(path);
    if (!at.isFile()) return undefined;
    return at.size > longestFile ? Buffer.alloc(0) : await readFile(path);
  } catch (error) {
    const message = `KEK file ${path} cannot be read (${codeOf(error)}): let the user the operator runs as read it.`;
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

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}
