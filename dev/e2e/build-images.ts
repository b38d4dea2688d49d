/** In a sandbox with this machine's network: builds the images of the run into archives in its folder. */
import { mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hideTheMachine } from './mounts.ts';
import { say } from './narrate.ts';
import { archiveOf, checkout, folderVariable, given, images } from './paths.ts';
import { addNpm, makeRootfs } from './rootfs.ts';
import { run } from './run.ts';

const base = 'localhost/node:e2e';
const runtimeBase = 'localhost/runtime:e2e';

async function main(): Promise<void> {
  const folder = join(given(folderVariable), 'images');
  mkdirSync(folder);
  await hideTheMachine(folder);

  say('Making base images of this machine’s Node.js, npm and shell, with buildah.');
  const node = join(folder, 'node');
  await makeRootfs(node, {
    'usr/local/bin/node': process.execPath,
    'bin/sh': '/bin/sh',
    'usr/bin/env': '/usr/bin/env',
  });
  const { stdout: registry } = await run('npm', ['config', 'get', 'registry']);
  addNpm(node, await npmFolder(), registry.trim());
  await buildFrom(node, base, 'ENV PATH=/usr/local/bin:/usr/bin:/bin\nCMD ["node"]');

  // Only the C and C++ libraries: without a shell and npm, as the base image of a release.
  const runtime = join(folder, 'runtime');
  await makeRootfs(runtime, { 'usr/local/bin/node': process.execPath });
  await buildFrom(runtime, runtimeBase, '');

  const pause = join(folder, 'pause');
  await makeRootfs(pause, { 'bin/sleep': '/bin/sleep' });
  await buildFrom(pause, images.pause, 'ENTRYPOINT ["/bin/sleep", "infinity"]');

  say('Building the operator’s image from the Dockerfile (npm ci, npm run build).');
  const bases = ['--build-arg', `NODE_IMAGE=${base}`, '--build-arg', `RUNTIME_IMAGE=${runtimeBase}`];
  await bud([...bases, '--tag', images.operator, '--file', 'Dockerfile', checkout]);
  for (const name of ['operator', 'pause'] as const) {
    await buildah([
      'push',
      '--quiet',
      images[name],
      `oci-archive:${archiveOf(given(folderVariable), name)}:${images[name]}`,
    ]);
  }

  async function buildFrom(rootfs: string, tag: string, instructions: string): Promise<void> {
    writeFileSync(join(folder, 'Containerfile'), `FROM scratch\nADD . /\n${instructions}\n`);
    await bud(['--tag', tag, '--file', join(folder, 'Containerfile'), rootfs]);
  }
  function bud(args: readonly string[]): Promise<void> {
    return buildah(['bud', '--isolation', 'chroot', '--pull-never', '--layers=false', ...args]);
  }
  async function buildah([command = '', ...args]: readonly string[]): Promise<void> {
    const storage = ['--storage-driver', 'vfs', '--root', join(folder, 'storage'), '--runroot', join(folder, 'run')];
    await run('buildah', [...storage, command, ...args], { cwd: checkout, env: { ...process.env, TMPDIR: folder } });
  }
}

/** The npm that started this run, else the one on the PATH. */
async function npmFolder(): Promise<string> {
  const started = process.env['npm_execpath'];
  const cli = started ?? (await run('sh', ['-c', 'command -v npm'])).stdout.trim();
  return dirname(dirname(realpathSync(cli)));
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
