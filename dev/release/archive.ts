import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface ArchiveOptions {
  /** Where the entries are. */
  readonly folder: string;
  /** Files and folders in it. */
  readonly entries: readonly string[];
  /** Name of the archive file. */
  readonly target: string;
  /** Seconds since 1970, for the time of every entry. */
  readonly epoch: number;
  /** GNU tar's expression for the names in the archive, such as `s,^,folder/,`. */
  readonly transform?: string;
}

/** Equal for all runs: order, times, owners and modes do not depend on the machine. */
const reproducible = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mode=u=rwX,go=rX', '--format=gnu'];

/** Writes a .tar.gz whose bytes depend only on names, contents and the time that is given. Needs GNU tar. */
export async function writeArchive({ folder, entries, target, epoch, transform }: ArchiveOptions): Promise<void> {
  const renamed = transform === undefined ? [] : [`--transform=${transform}`];
  const args = ['--create', ...reproducible, `--mtime=@${epoch}`, ...renamed, `--directory=${folder}`, ...entries];
  const { stdout } = await promisify(execFile)('tar', args, { encoding: 'buffer', maxBuffer: 2 ** 30 });
  // Writes no time into the header.
  writeFileSync(target, gzipSync(stdout));
}
