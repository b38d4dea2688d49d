import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from '../e2e/run.ts';
import type { Architecture } from './options.ts';

/** SHA-256 of `bin/node` in the npm packages `node-linux-<architecture>`. */
export const nodeBinaries = {
  version: '24.21.0',
  sha256: {
    x64: '7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c',
    arm64: '0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584',
  },
} as const;

/**
 * Path of the pinned Node for Linux: the one that runs this, or from the cache, or from the npm registry.
 *
 * @throws Error if what the registry has is not what is pinned
 */
export async function nodeBinary(architecture: Architecture): Promise<string> {
  const wanted = nodeBinaries.sha256[architecture];
  const base = process.env['XDG_CACHE_HOME'] || join(process.env['HOME'] || homedir(), '.cache');
  const cache = join(base, 'lti-key-operator', 'node');
  const cached = join(cache, wanted);
  for (const path of [process.execPath, cached]) {
    if (existsSync(path) && (await sha256(path)) === wanted) return path;
  }
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, '.download-'));
  try {
    const name = `node-linux-${architecture}@${nodeBinaries.version}`;
    const { stdout } = await run('npm', ['pack', '--silent', name], { cwd: folder });
    await run('tar', ['--extract', `--file=${stdout.trim()}`, 'package/bin/node'], { cwd: folder });
    const downloaded = join(folder, 'package/bin/node');
    const found = await sha256(downloaded);
    if (found !== wanted)
      throw new Error(`The Node in the npm package ${name} has SHA-256 ${found}, not the pinned ${wanted}.`);
    await rename(downloaded, cached);
  } finally {
    await rm(folder, { recursive: true });
  }
  return cached;
}

export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
