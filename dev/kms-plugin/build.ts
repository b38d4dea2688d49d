import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { goBuildEnvironment, goBuildFlags } from '../control-plane/modules.ts';

const folder = import.meta.dirname;
const sources = ['go.mod', 'go.sum', 'main.go'];

/** Path of the KMS plugin (main.go), built with Go once for each of its versions, into the cache of the control plane. */
export async function kmsPluginProgram(environment: NodeJS.ProcessEnv = process.env): Promise<string> {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}`);
  for (const file of sources) hash.update('\0').update(readFileSync(join(folder, file)));
  const base = environment['XDG_CACHE_HOME'] || join(environment['HOME'] || homedir(), '.cache');
  const cache = join(base, 'lti-key-operator', 'kms-plugin', hash.digest('hex').slice(0, 16));
  const program = join(cache, 'kms-plugin');
  if (existsSync(program)) return program;
  await mkdir(cache, { recursive: true });
  // A concurrent build puts the same file in its place.
  const temporary = join(cache, `.kms-plugin-${process.pid}`);
  const env = { ...environment, ...goBuildEnvironment };
  await promisify(execFile)('go', ['build', ...goBuildFlags, '-o', temporary, '.'], { cwd: folder, env });
  await rename(temporary, program);
  return program;
}
