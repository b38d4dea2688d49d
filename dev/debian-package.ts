import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync } from 'node:fs';

/**
 * Downloads Debian packages and unpacks them into `folder`. They are not installed, because that could start servers and changes the
 * machine. False if one of them cannot be had.
 */
export function unpackDebianPackages(packages: readonly string[], folder: string): boolean {
  mkdirSync(folder, { recursive: true });
  const download = (): boolean => runs('apt-get', ['download', '-qq', ...packages], folder);
  const isRoot = process.getuid?.() === 0;
  if (!download() && !(isRoot && runs('apt-get', ['update', '-qq']) && download())) return false;
  return packages.every((name) =>
    globSync(`${name}_*.deb`, { cwd: folder }).some((file) => runs('dpkg-deb', ['-x', file, folder], folder)),
  );
}

/** Whether the program is there and succeeds. */
export function runs(program: string, args: readonly string[], cwd?: string): boolean {
  return spawnSync(program, args, { stdio: 'ignore', ...(cwd && { cwd }) }).status === 0;
}
