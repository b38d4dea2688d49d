import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * The folder in `~/.cache/lti-key-operator/tools` that `install` filled for these inputs: the content of files, or other text. An
 * install that failed leaves nothing behind.
 */
export function cached(name: string, inputs: readonly string[], install: (folder: string) => void): string {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(existsSync(input) ? readFileSync(input) : input).update('\0');
  const base = process.env['XDG_CACHE_HOME'] || join(process.env['HOME'] || homedir(), '.cache');
  const folder = join(base, 'lti-key-operator/tools', `${name}-${hash.digest('hex').slice(0, 12)}`);
  const isComplete = join(folder, '.complete');
  if (existsSync(isComplete)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  install(folder);
  writeFileSync(isComplete, '');
  return folder;
}
