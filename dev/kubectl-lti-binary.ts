import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { inject } from 'postject';

/** `kubectl lti` as one file that needs no Node (https://nodejs.org/api/single-executable-applications.html). */

const root = join(import.meta.dirname, '..');
/** Node looks for this text in its own file, to see whether a program was injected. */
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

export interface BinaryOptions {
  /** Folder with the bundle `kubectl-lti.js`. */
  readonly bundle: string;
  /** The Node executable to copy, for any Linux architecture, of the version that runs this. */
  readonly node: string;
  readonly target: string;
}

/** Copies a Node executable and puts the program inside. */
export async function kubectlLtiBinary({ bundle, node, target }: BinaryOptions): Promise<void> {
  const work = `${target}.work`;
  mkdirSync(work, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: [join(bundle, 'kubectl-lti.js')],
    outfile: join(work, 'kubectl-lti.cjs'),
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    // Single executables cannot be ES modules.
    format: 'cjs',
    define: { 'import.meta.url': 'executableURL' },
    banner: { js: "const executableURL = require('node:url').pathToFileURL(process.execPath).href;" },
    logLevel: 'warning',
  });
  // The blob contains the path of `main` as it is here, so it is relative. Without a snapshot and a code cache, the
  // blob is the same for every architecture.
  const config = { main: 'kubectl-lti.cjs', output: 'kubectl-lti.blob', disableExperimentalSEAWarning: true };
  writeFileSync(join(work, 'sea-config.json'), JSON.stringify(config));
  execFileSync(process.execPath, ['--experimental-sea-config', 'sea-config.json'], { cwd: work, stdio: 'ignore' });

  const executable = join(work, basename(target));
  copyFileSync(node, executable);
  chmodSync(executable, 0o755);
  // Warnings about `.note` sections are from the ELF reader in postject, and the executable works.
  await inject(executable, 'NODE_SEA_BLOB', readFileSync(join(work, config.output)), { sentinelFuse: fuse });
  renameSync(executable, target);
  rmSync(work, { recursive: true });
}

if (import.meta.main) {
  if (process.platform !== 'linux')
    throw new Error('only Linux is supported: other platforms need a signed executable');
  const dist = join(root, 'dist');
  const target = join(dist, `kubectl-lti-${process.platform}-${process.arch}`);
  await kubectlLtiBinary({ bundle: dist, node: process.execPath, target });
  console.log(target);
}
