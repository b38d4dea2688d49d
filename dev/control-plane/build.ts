import { execFile } from 'node:child_process';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { withBuildLock } from './build-lock.ts';
import {
  compareVersions,
  goBuildEnvironment,
  goBuildFlags,
  type ControlPlaneModules,
  type Program,
} from './modules.ts';
import { spawnTied } from './tied-process.ts';

const progressEveryMs = 15_000;

export interface BuildOptions {
  readonly cache: string;
  readonly modules: ControlPlaneModules;
  /** Go's environment: where it is (PATH) and how it reaches its modules. */
  readonly environment: NodeJS.ProcessEnv;
  /** Called with a line that says what is being built and for how long. */
  readonly report: (line: string) => void;
}

/**
 * Builds the programs that `cache` does not hold yet, one after the other, and reports how far it is.
 *
 * @throws Error in one sentence when Go is missing or too old, or with the end of Go's output when a build fails
 */
export async function buildPrograms(wanted: readonly Program[], options: BuildOptions): Promise<void> {
  const { cache, report } = options;
  const missing = (): Program[] => wanted.filter((program) => !existsSync(join(cache, program)));
  if (missing().length === 0) return;
  await checkGo(options);
  await mkdir(cache, { recursive: true });
  const onWait = (holder: number | undefined): void =>
    report(
      `another run${holder === undefined ? '' : ` (process ${holder})`} is building into ${cache}; waiting for it`,
    );
  await withBuildLock(join(cache, 'build.lock'), onWait, async () => {
    const todo = missing();
    if (todo.length > 0) report(`building ${todo.join(', ')} into ${cache} (once; takes minutes on a cold machine)`);
    for (const [index, program] of todo.entries()) {
      await build(program, options, `${index + 1} of ${todo.length}`);
    }
  });
}

async function build(
  program: Program,
  { cache, modules, environment, report }: BuildOptions,
  position: string,
): Promise<void> {
  const plan = modules.plans[program];
  const started = performance.now();
  const seconds = (): number => Math.round((performance.now() - started) / 1000);
  const temporary = join(cache, `.${program}-${process.pid}`);
  const logFile = join(cache, `${program}.log`);
  await rm(logFile, { force: true });
  const progress = setInterval(
    () => report(`${position}: building ${program} ${plan.version}, ${seconds()} s so far`),
    progressEveryMs,
  );
  try {
    const go = spawnTied({
      program: 'go',
      args: ['build', ...goBuildFlags, '-ldflags', plan.ldflags, '-o', temporary, plan.package],
      logFile,
      cwd: plan.folder,
      env: { ...environment, ...goBuildEnvironment },
    });
    const exit = await go.exited;
    if (exit !== 0) {
      const tail = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-15).join('\n');
      throw new Error(`go build ${plan.package} in ${plan.folder} ended with ${exit}; the end of ${logFile}:\n${tail}`);
    }
    await rename(temporary, join(cache, program));
    await rm(logFile, { force: true });
    report(`${position}: built ${program} ${plan.version} in ${seconds()} s`);
  } finally {
    clearInterval(progress);
    await rm(temporary, { force: true });
  }
}

/** Fails early with a sentence that says what to do. */
async function checkGo({ modules: { goVersion, plans }, environment }: BuildOptions): Promise<void> {
  const remedy =
    `install Go ${goVersion} or newer (https://go.dev/dl) and put it on the PATH, or set KUBEBUILDER_ASSETS to a ` +
    'folder with etcd and kube-apiserver (and kube-controller-manager and kubectl, where they are needed)';
  const { stdout, stderr, failure } = await goVersionOutput(plans['kube-apiserver'].folder, environment);
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

function goVersionOutput(
  cwd: string,
  environment: NodeJS.ProcessEnv,
): Promise<{ stdout: string; stderr: string; failure: unknown }> {
  const env = { ...environment, ...goBuildEnvironment };
  return new Promise((resolve) => {
    execFile('go', ['env', 'GOVERSION'], { cwd, env }, (error, stdout, stderr) =>
      resolve({ stdout, stderr, failure: error?.code }),
    );
  });
}
