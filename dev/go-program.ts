import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { goBuildEnvironment, goBuildFlags } from './control-plane/modules.ts';

/** Path of the program in a folder of Go sources, built once for each version of them, into the cache of the control plane. */
export async function goProgram(folder: string, environment: NodeJS.ProcessEnv = process.env): Promise<string> {
  const sources = readdirSync(folder).filter((file) => /^go\.(mod|sum)$|\.go$/.test(file));
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}`);
  for (const file of sources.toSorted()) hash.update('\0').update(readFileSync(join(folder, file)));
  const name = basename(folder);
  const base = environment['XDG_CACHE_HOME'] || join(environment['HOME'] || homedir(), '.cache');
  const cache = join(base, 'lti-key-operator', name, hash.digest('hex').slice(0, 16));
  const program = join(cache, name);
  if (existsSync(program)) return program;
  await mkdir(cache, { recursive: true });
  // A concurrent build puts the same file in its place.
  const temporary = join(cache, `.${name}-${process.pid}`);
  const env = { ...environment, ...goBuildEnvironment };
  await promisify(execFile)('go', ['build', ...goBuildFlags, '-o', temporary, '.'], { cwd: folder, env });
  await rename(temporary, program);
  return program;
}
