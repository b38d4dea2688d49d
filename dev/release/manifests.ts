import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from '../e2e/run.ts';
import { writeArchive } from './archive.ts';
import type { Build } from './build.ts';

/** Manifests for kubectl, and the components of each. The namespace and the CRDs stay when an operator is deleted. */
const installs: Readonly<Record<string, readonly string[]>> = {
  'operator.yaml': [],
  'operator-with-publishers.yaml': ['deploy/publisher'],
};

/** Writes CRDs, namespace and operator as YAML files, and deploy/ and crds/ for kustomizations. @returns their names */
export async function manifests(build: Build): Promise<string[]> {
  const { source, work, output, tools } = build;
  const render = async (folder: string, file: string): Promise<void> => {
    const { stdout } = await run(tools.kubectl, ['kustomize', folder]);
    writeFileSync(join(output, file), stdout);
  };
  await render(join(source.root, 'crds'), 'crds.yaml');
  copyFileSync(join(source.root, 'deploy/namespace.yaml'), join(output, 'namespace.yaml'));
  for (const [file, components] of Object.entries(installs)) {
    await render(kustomization(join(work, file), components, build), file);
  }
  const archive = `lti-key-operator-kustomize-${source.version}.tgz`;
  await writeArchive({
    folder: source.root,
    entries: ['--exclude=deploy/charts', 'crds', 'deploy'],
    target: join(output, archive),
    epoch: source.epoch,
    transform: `s,^,lti-key-operator-${source.version}/,`,
  });
  return ['crds.yaml', 'namespace.yaml', ...Object.keys(installs), archive];
}

/** A folder with a kustomization that sets the image of this release. */
function kustomization(folder: string, components: readonly string[], { source, image }: Build): string {
  mkdirSync(folder);
  const from = (path: string): string => relative(folder, join(source.root, path));
  const images = [{ name: 'lti-key-operator', newName: image, newTag: source.version }];
  const content = { resources: [from('deploy')], components: components.map(from), images };
  writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(content));
  return folder;
}
