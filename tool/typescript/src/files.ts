import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyDirectoryError } from './errors.ts';

/** The files of a delivery, and which version of them a directory has. */

const names = ['private.jwk', 'private.jwe', 'public.pem', 'kid', 'jwks.json', 'registration.json'] as const;
type FileName = (typeof names)[number];
/** Texts by file; absent files are absent. */
export type Files = Readonly<Partial<Record<FileName, string>>>;

export interface ReadFiles {
  readonly files: Files;
  /** Whether the directory is a mount, so that the files are of one version. */
  readonly isMount: boolean;
}

/**
 * Names the version that the directory has now: the target of the kubelet's link `..data`, or the state of the files if a directory has
 * no such link, as on a laptop. Two equal names mean equal files.
 */
export async function versionName(path: string, prefix: string): Promise<string> {
  return (
    (await mountName(path)) ??
    stateOf(
      path,
      names.map((name) => prefix + name),
    )
  );
}

/** As `versionName`, of all registrations of a bundle. */
export async function bundleVersionName(path: string): Promise<string> {
  return (
    (await mountName(path)) ??
    stateOf(
      path,
      (await entriesOf(path, path)).filter((entry) => ownerOf(entry)),
    )
  );
}

/** Reads the version that `versionName` named. If another one takes its place meanwhile, the names before and after differ. */
export async function readFiles(path: string, prefix: string): Promise<ReadFiles> {
  const target = await dataTarget(path);
  return { files: await textsOf(path, target, prefix, names), isMount: target !== undefined };
}

/** As `readFiles`, by the name of the registration. */
export async function readBundle(path: string): Promise<ReadonlyMap<string, ReadFiles>> {
  const target = await dataTarget(path);
  const owned = new Map<string, FileName[]>();
  for (const entry of await entriesOf(target === undefined ? path : join(path, target), path)) {
    const [owner, name] = ownerOf(entry) ?? [];
    if (owner === undefined || name === undefined) continue;
    const known = owned.get(owner);
    if (known) known.push(name);
    else owned.set(owner, [name]);
  }
  const read = new Map<string, ReadFiles>();
  // One after another, because thousands at once exhaust file descriptors.
  for (const [owner, present] of owned) {
    read.set(owner, { files: await textsOf(path, target, `${owner}.`, present), isMount: target !== undefined });
  }
  return read;
}

/** Registration and file of `canvas.private.jwk`. The names of registrations may have dots; no file's name ends with another one's. */
function ownerOf(entry: string): readonly [string, FileName] | undefined {
  const name = names.find((each) => entry.endsWith(`.${each}`));
  const owner = name === undefined ? '' : entry.slice(0, -name.length - 1);
  return name !== undefined && isRegistrationName(owner) ? [owner, name] : undefined;
}

/** A name with other characters could lead out of the directory. */
export function isRegistrationName(name: string): boolean {
  return /^[a-z0-9][-.a-z0-9]*$/.test(name);
}

async function mountName(path: string): Promise<string | undefined> {
  let target: string | undefined;
  for (let next = await dataTarget(path); next !== undefined && next !== target; next = await dataTarget(path)) {
    target = next;
    try {
      const { ino, ctimeMs } = await stat(join(path, target));
      return `..data ${target} ${ino} ${ctimeMs}`;
    } catch (error) {
      // After a swap the previous target is gone, and the link has another one.
      if (codeOf(error) !== 'ENOENT') fail(error, join(path, '..data'));
    }
  }
  if (target !== undefined) fail({ code: 'ENOENT' }, join(path, '..data'));
  return undefined;
}

async function stateOf(path: string, files: readonly string[]): Promise<string> {
  const states = files.map(async (name) => {
    try {
      const { ino, size, mtimeMs } = await stat(join(path, name));
      return `${name} ${ino} ${size} ${mtimeMs}`;
    } catch (error) {
      return `${name} ${codeOf(error)}`;
    }
  });
  return (await Promise.all(states)).join(', ');
}

async function dataTarget(path: string): Promise<string | undefined> {
  try {
    return await readlink(join(path, '..data'));
  } catch (error) {
    if (codeOf(error) === 'EINVAL') return undefined;
    if (codeOf(error) !== 'ENOENT') return fail(error, join(path, '..data'));
  }
  await stat(path).catch((error: unknown) => fail(error, path));
  return undefined;
}

async function entriesOf(directory: string, shownAs: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => fail(error, shownAs));
}

async function textsOf(
  path: string,
  target: string | undefined,
  prefix: string,
  present: readonly FileName[],
): Promise<Files> {
  const pinned = target === undefined ? path : join(path, target);
  // Messages name the files as the tool finds them, not the kubelet's directory.
  const read = present.map(async (name) => {
    return [name, await textOf(join(pinned, prefix + name), join(path, prefix + name))] as const;
  });
  return Object.fromEntries((await Promise.all(read)).filter(([, text]) => text !== undefined));
}

/** Bytes of a Secret at most, so of each file. */
const largest = 2 ** 20;

/** `undefined` if there is no such file. */
async function textOf(file: string, shownAs: string): Promise<string | undefined> {
  try {
    const found = await stat(file);
    const remedy = 'mount the delivery Secret unchanged, as a whole directory';
    // Reading a pipe would wait for its writer.
    if (!found.isFile()) throw new KeyDirectoryError('FileUnreadable', shownAs, 'it is not a regular file', remedy);
    if (found.size > largest) {
      throw new KeyDirectoryError('FileMalformed', shownAs, 'it is larger than 1 MiB, the limit of a Secret', remedy);
    }
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof KeyDirectoryError) throw error;
    return codeOf(error) === 'ENOENT' ? undefined : fail(error, shownAs);
  }
}

const mountIt = 'mount the delivery Secret as a directory at this path';
const remedies: Readonly<Record<string, string>> = {
  EACCES: 'let the user of the process read it, for example with fsGroup in the Pod',
  EPERM: 'let the user of the process read it, for example with fsGroup in the Pod',
  EMFILE: 'raise the limit of open files of the process, or close files',
  ENFILE: 'raise the limit of open files of the node',
  ENOTDIR: mountIt,
};

function fail(error: unknown, file: string): never {
  const code = codeOf(error);
  if (code === 'ENOENT') throw new KeyDirectoryError('DirectoryMissing', file, 'it does not exist', mountIt);
  const remedy =
    remedies[code] ?? 'look for faults of the volume in the events of the Pod; if this continues, restart it';
  throw new KeyDirectoryError('FileUnreadable', file, `reading fails with ${code}`, remedy);
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'an unknown error';
}
