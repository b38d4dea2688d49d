import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parseAllDocuments } from 'yaml';
import { applyManifest, controlPlane } from './control-plane-fixture.ts';

/** deploy/ as an installer renders and applies it. */

const root = new URL('../../', import.meta.url);

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

/** What an installer writes on top of deploy/: components by their paths in the repository, and fields of a kustomization. */
export interface Overlay {
  readonly components?: readonly string[];
  readonly namespace?: string;
  readonly namePrefix?: string;
  readonly nameSuffix?: string;
  readonly patches?: readonly object[];
}

/** The path of a folder with a kustomization that names deploy/; the caller removes it. */
export function overlayFolder({ components = [], ...fields }: Overlay): string {
  const folder = mkdtempSync(join(tmpdir(), 'kustomize-'));
  const from = (path: string): string => relative(realpathSync(folder), fileURLToPath(new URL(path, root)));
  const kustomization = { resources: [from('deploy')], components: components.map(from), ...fields };
  writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
  return folder;
}

export async function render(overlay: Overlay): Promise<readonly Manifest[]> {
  const folder = overlayFolder(overlay);
  try {
    const { code, stdout, stderr } = await controlPlane().kubectlRun(['kustomize', folder]);
    expect(code, stderr).to.equal(0);
    return parseAllDocuments(stdout).map((document): Manifest => document.toJS());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export async function apply(manifests: readonly object[]): Promise<void> {
  const { code, stderr } = await applyManifest(manifests.map((each) => JSON.stringify(each)).join('\n---\n'));
  expect(code, stderr).to.equal(0);
}
