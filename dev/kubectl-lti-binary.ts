import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { inject } from 'postject';

/**
 * Makes dist/kubectl-lti-<platform>-<arch> of dist/kubectl-lti.js: one file that needs no Node, for the platform that this runs on.
 * It is a copy of this Node with the program inside (https://nodejs.org/api/single-executable-applications.html).
 */

const root = join(import.meta.dirname, '..');
const work = join(root, 'dist/sea');
const target = join(root, `dist/kubectl-lti-${process.platform}-${process.arch}`);
/** Node looks for this text in its own file, to see whether a program was injected. */
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

if (process.platform !== 'linux') throw new Error('only Linux is supported: other platforms need a signed executable');
mkdirSync(work, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: ['dist/kubectl-lti.js'],
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
const config = {
  main: join(work, 'kubectl-lti.cjs'),
  output: join(work, 'kubectl-lti.blob'),
  disableExperimentalSEAWarning: true,
};
writeFileSync(join(work, 'sea-config.json'), JSON.stringify(config));
execFileSync(process.execPath, ['--experimental-sea-config', join(work, 'sea-config.json')], { stdio: 'ignore' });

const executable = join(work, 'kubectl-lti');
copyFileSync(process.execPath, executable);
chmodSync(executable, 0o755);
// Warnings about `.note` sections are from the ELF reader in postject, and the executable works.
await inject(executable, 'NODE_SEA_BLOB', readFileSync(config.output), { sentinelFuse: fuse });
renameSync(executable, target);
rmSync(work, { recursive: true });
console.log(target);
