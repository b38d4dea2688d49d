import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../e2e/run.ts';
import { writeArchive } from './archive.ts';
import type { Build } from './build.ts';

const name = 'lti-key-operator';

/**
 * Makes the chart package with Helm, which checks the chart, and packs it again: Helm writes the present time into each entry.
 *
 * @returns the name of the file
 */
export async function chartPackage({ source, work, output, image, tools }: Build): Promise<string> {
  const { root, version, epoch } = source;
  const folder = join(work, 'chart');
  const chart = join(folder, name);
  cpSync(join(root, 'deploy/charts', name), chart, { recursive: true });
  const values = join(chart, 'values.yaml');
  const named = readFileSync(values, 'utf8').replace(/^( {2}repository: ).*$/m, `$1${image}`);
  writeFileSync(values, named);

  const packed = join(folder, 'packed');
  mkdirSync(packed);
  const env = { ...process.env, HELM_CACHE_HOME: folder, HELM_CONFIG_HOME: folder, HELM_DATA_HOME: folder };
  await run(tools.helm, ['package', chart, '--version', version, '--app-version', version, '--destination', packed], {
    env,
  });
  const file = `${name}-${version}.tgz`;
  await run('tar', ['--extract', `--file=${join(packed, file)}`, `--directory=${packed}`]);
  await writeArchive({ folder: packed, entries: [name], target: join(output, file), epoch });
  await run(tools.helm, ['lint', '--strict', join(output, file)], { env });
  return file;
}
