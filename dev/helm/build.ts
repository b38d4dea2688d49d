import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withBuildLock } from '../control-plane/build-lock.ts';
import { goBuildEnvironment, goBuildFlags } from '../control-plane/modules.ts';

const folder = import.meta.dirname;
const helm = 'helm.sh/helm/v3';

/** Path of Helm, built with Go once for each version of go.mod, into the cache of the control plane. */
export async function helmProgram(environment: NodeJS.ProcessEnv = process.env): Promise<string> {
  const goMod = readFileSync(join(folder, 'go.mod'), 'utf8');
  const version = requiredVersion(goMod, helm);
  const [, minor] = requiredVersion(goMod, 'k8s.io/client-go').split('.');
  // Without these, Helm takes Kubernetes 1.20 for the version of a cluster that it does not ask.
  const kubernetes = ['lint/rules', 'chartutil'].flatMap((name) => [
    `-X ${helm}/pkg/${name}.k8sVersionMajor=1`,
    `-X ${helm}/pkg/${name}.k8sVersionMinor=${minor}`,
  ]);
  const ldflags = ['-s -w', `-X ${helm}/internal/version.version=${version}`, ...kubernetes].join(' ');

  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\0${ldflags}\0${goMod}`);
  hash.update(readFileSync(join(folder, 'go.sum')));
  const base = environment['XDG_CACHE_HOME'] || join(environment['HOME'] || homedir(), '.cache');
  const cache = join(base, 'lti-key-operator', 'helm', hash.digest('hex').slice(0, 16));
  const program = join(cache, 'helm');
  if (existsSync(program)) return program;

  await mkdir(cache, { recursive: true });
  const report = (line: string): void => void process.stderr.write(`helm: ${line}\n`);
  const onWait = (): void => report(`another run is building into ${cache}; waiting for it`);
  await withBuildLock(join(cache, 'build.lock'), onWait, async () => {
    if (existsSync(program)) return;
    report(`building Helm ${version} into ${cache} (once; takes 2 to 4 minutes on a cold machine)`);
    const temporary = join(cache, `.helm-${process.pid}`);
    const args = ['build', ...goBuildFlags, '-ldflags', ldflags, '-o', temporary, `${helm}/cmd/helm`];
    await promisify(execFile)('go', args, { cwd: folder, env: { ...environment, ...goBuildEnvironment } });
    await rename(temporary, program);
  });
  return program;
}

function requiredVersion(goMod: string, module: string): string {
  const version = goMod
    .split('\n')
    .map((line) =>
      line
        .trim()
        .replace(/^require /, '')
        .split(' '),
    )
    .find(([path, required]) => path === module && required?.startsWith('v'))?.[1];
  if (version === undefined) throw new Error(`go.mod in ${folder} does not require ${module}`);
  return version;
}

if (import.meta.main) console.log(await helmProgram());
