import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { buildPrograms } from './build.ts';
import { readModules, type Program } from './modules.ts';

export interface FindOptions {
  readonly environment?: NodeJS.ProcessEnv;
  /** False where the user named a server, and only kubectl is looked for. */
  readonly serversAreOurs?: boolean;
  /** Called with a line that says what is being built and for how long. */
  readonly report?: (line: string) => void;
}

/**
 * Paths of the wanted programs. Each comes from the first of these that has it:
 *
 * 1. the folder `KUBEBUILDER_ASSETS`, which must hold etcd and kube-apiserver when it is set;
 * 2. the cache, `$XDG_CACHE_HOME/lti-key-operator/control-plane/<fingerprint of the Go modules and build flags>`;
 * 3. for kubectl only, and only where the servers are not ours (`KUBEBUILDER_ASSETS` or a kubeconfig the user named,
 *    so perhaps no Go): the PATH;
 * 4. a build with Go into that cache.
 *
 * @throws Error in a sentence that says what to install or set
 */
export async function findPrograms<P extends Program>(
  wanted: readonly P[],
  { environment = process.env, serversAreOurs = true, report = reportOnStderr }: FindOptions = {},
): Promise<Readonly<Record<P, string>>> {
  const modules = readModules();
  const cache = cacheFolder(modules.fingerprint, environment);
  const assets = environment['KUBEBUILDER_ASSETS'] || undefined;
  if (assets !== undefined && serversAreOurs) requireServers(assets);

  const find = (program: Program): string | undefined => {
    const folders = assets === undefined ? [cache] : [assets, cache];
    if (program === 'kubectl' && (assets !== undefined || !serversAreOurs)) folders.push(...pathFolders(environment));
    return folders.map((folder) => join(folder, program)).find(isExecutable);
  };
  const absent = wanted.filter((program) => find(program) === undefined);
  await buildPrograms(absent, { cache, modules, environment, report });
  const paths: Partial<Record<Program, string>> = {};
  for (const program of wanted) {
    const path = find(program);
    if (path !== undefined) paths[program] = path;
  }
  if (!hasAll(paths, wanted))
    throw new Error(`What Go built into ${cache} is not executable: remove that folder and try again.`);
  return paths;
}

function hasAll<P extends Program>(
  paths: Partial<Record<Program, string>>,
  wanted: readonly P[],
): paths is Record<P, string> {
  return wanted.every((program) => paths[program] !== undefined);
}

export function reportOnStderr(line: string): void {
  process.stderr.write(`control plane: ${line}\n`);
}

function requireServers(assets: string): void {
  const missing = (['etcd', 'kube-apiserver'] as const).filter((program) => !isExecutable(join(assets, program)));
  if (missing.length === 0) return;
  throw new Error(
    `KUBEBUILDER_ASSETS is ${assets}, which has no executable ${missing.join(' and no ')}: ` +
      'set it to a folder that holds both, or unset it to have them built with Go.',
  );
}

export function cacheFolder(fingerprint: string, environment: NodeJS.ProcessEnv): string {
  const base = environment['XDG_CACHE_HOME'] || join(environment['HOME'] || homedir(), '.cache');
  return join(base, 'lti-key-operator', 'control-plane', fingerprint);
}

function pathFolders(environment: NodeJS.ProcessEnv): string[] {
  return (environment['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
