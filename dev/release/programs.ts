import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../e2e/run.ts';
import { kubectlLtiBinary } from '../kubectl-lti-binary.ts';
import { writeArchive } from './archive.ts';
import type { Build } from './build.ts';
import { nodeBinary } from './node-binaries.ts';

/** Writes an archive with the single executable of `kubectl lti` for each architecture. @returns their names */
export async function kubectlLti({ source, work, output, bundle, architectures }: Build): Promise<string[]> {
  const files: string[] = [];
  for (const architecture of architectures) {
    const folder = join(work, `kubectl-lti-${architecture}`);
    mkdirSync(folder);
    const node = await nodeBinary(architecture);
    await kubectlLtiBinary({ bundle: bundle.folder, node, target: join(folder, 'kubectl-lti') });
    copyFileSync(join(source.root, 'LICENSE'), join(folder, 'LICENSE'));
    const file = `kubectl-lti-${source.version}-linux-${architecture}.tar.gz`;
    await writeArchive({
      folder,
      entries: ['kubectl-lti', 'LICENSE'],
      target: join(output, file),
      epoch: source.epoch,
    });
    files.push(file);
  }
  return files;
}

/** Writes the npm package of both commands: the bundle, so it has no dependencies. @returns its name */
export async function npmPackage({ source, work, output, bundle }: Build): Promise<string> {
  const { root, version } = source;
  const folder = join(work, 'npm');
  cpSync(bundle.folder, join(folder, 'dist'), { recursive: true });
  const { name, description, license, type, engines, bin } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  ) as Readonly<Record<string, unknown>>;
  const manifest = { name, version, description, license, type, engines, bin, files: ['dist'] };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  copyFileSync(join(root, 'docs/kubectl-lti.md'), join(folder, 'README.md'));

  const packed = join(work, 'packed');
  mkdirSync(packed);
  const { stdout } = await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', packed], {
    cwd: folder,
  });
  // Packed again, because npm keeps the modes that the umask gave the files.
  await run('tar', ['--extract', `--file=${join(packed, stdout.trim())}`, `--directory=${packed}`]);
  // Helm's package has the name that npm gives to its own.
  const file = `lti-key-operator-npm-${version}.tgz`;
  await writeArchive({ folder: packed, entries: ['package'], target: join(output, file), epoch: source.epoch });
  return file;
}
