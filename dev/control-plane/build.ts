import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { withBuildLock } from './build-lock.ts';
import {
  compareVersions,
  goBuildEnvironment,
  goBuildFlags,
  type BuildPlan,
  type ControlPlaneModules,
  type Program,
} from './modules.ts';
import { spawnTied } from './tied-process.ts';

const progressEveryMs = 15_000;

/**
 * Builds the programs that `cache` does not hold yet, one after the other, and says on standard error how far it is.
 *
 * @throws Error in one sentence when Go is missing or too old, or with the end of Go's output when a build fails
 */
export async function buildPrograms(
  wanted: readonly Program[],
  cache: string,
  modules: ControlPlaneModules,
): Promise<void> {
  const missing = (): Program[] => wanted.filter((program) => !existsSync(join(cache, program)));
  if (missing().length === 0) return;
  await checkGo(modules);
  await mkdir(cache, { recursive: true });
  const onWait = (holder: number | undefined): void =>
    say(`another run${holder === undefined ? '' : ` (process ${holder})`} is building into ${cache}; waiting for it`);
  await withBuildLock(join(cache, 'build.lock'), onWait, async () => {
    const todo = missing();
    if (todo.length > 0) say(`building ${todo.join(', ')} into ${cache} (once; takes minutes on a cold machine)`);
    for (const [index, program] of todo.entries()) {
      await build(program, modules.plans[program], cache, `${index + 1} of ${todo.length}`);
    }
  });
}

async function build(program: Program, plan: BuildPlan, cache: string, position: string): Promise<void> {
  const started = performance.now();
  const seconds = (): number => Math.round((performance.now() - started) / 1000);
  const temporary = join(cache, `.${program}-${process.pid}`);
  const logFile = join(cache, `${program}.log`);
  await rm(logFile, { force: true });
  const progress = setInterval(
    () => say(`${position}: building ${program} ${plan.version}, ${seconds()} s so far`),
    progressEveryMs,
  );
  try {
    const go = spawnTied({
      program: 'go',
      args: ['build', ...goBuildFlags, '-ldflags', plan.ldflags, '-o', temporary, plan.package],
      logFile,
      cwd: plan.folder,
      env: { ...process.env, ...goBuildEnvironment },
    });
    const exit = await go.exited;
    if (exit !== 0) {
      const tail = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-15).join('\n');
      throw new Error(`go build ${plan.package} in ${plan.folder} ended with ${exit}; the end of ${logFile}:\n${tail}`);
    }
    await rename(temporary, join(cache, program));
    await rm(logFile, { force: true });
    say(`${position}: built ${program} ${plan.version} in ${seconds()} s`);
  } finally {
    clearInterval(progress);
    await rm(temporary, { force: true });
  }
}

/** One sentence a person can act on, before minutes are spent. */
async function checkGo({ goVersion, plans }: ControlPlaneModules): Promise<void> {
  const remedy =
    `install Go ${goVersion} or newer (https://go.dev/dl) and put it on the PATH, or set KUBEBUILDER_ASSETS to a ` +
    'folder with etcd and kube-apiserver (and kube-controller-manager and kubectl, where they are needed)';
  const { stdout, stderr, failure } = await goVersionOutput(plans['kube-apiserver'].folder);
  if (failure === 'ENOENT') throw new Error(`Building the control plane needs Go, and there is no \`go\`: ${remedy}.`);
  const found = /^go(\d\S*)/.exec(stdout)?.[1];
  if (found === undefined) {
    const reason = stderr.trim().split('\n').at(-1) ?? '';
    throw new Error(`Building the control plane needs Go, and \`go env GOVERSION\` failed (${reason}): ${remedy}.`);
  }
  if (compareVersions(found, goVersion) < 0) {
    throw new Error(`Building the control plane needs a newer Go than the ${found} on the PATH: ${remedy}.`);
  }
}

function goVersionOutput(cwd: string): Promise<{ stdout: string; stderr: string; failure?: unknown }> {
  return new Promise((resolve) => {
    execFile('go', ['env', 'GOVERSION'], { cwd, env: { ...process.env, GOWORK: 'off' } }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, failure: error?.code }),
    );
  });
}

function say(text: string): void {
  process.stderr.write(`control plane: ${text}\n`);
}
