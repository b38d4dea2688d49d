import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { run } from '../e2e/run.ts';
import type { Build } from './build.ts';
import type { ImageArchive } from './image.ts';
import { type DebianPackage, packagesInImage } from './image-packages.ts';
import { imageArchitectures } from './options.ts';

/** The parts of a CycloneDX 1.5 document that are used here (https://cyclonedx.org/docs/1.5/json/). */
export interface Sbom {
  readonly bomFormat: 'CycloneDX';
  readonly specVersion: string;
  readonly version: number;
  readonly metadata: {
    readonly timestamp: string;
    readonly component: { readonly 'bom-ref': string; readonly name: string; readonly type: string };
  };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
}

interface Component {
  readonly 'bom-ref': string;
  readonly type: string;
  readonly name: string;
  readonly version: string;
  readonly purl?: string;
}

/** The npm packages whose code is in the bundle, as `npm sbom` describes them. */
export async function bundleSbom({ source, bundle }: Build): Promise<Sbom> {
  // With --omit=dev, npm 11.19 also leaves out packages that both the operator and development need.
  const args = ['sbom', '--package-lock-only', '--sbom-format=cyclonedx'];
  const { stdout } = await run('npm', args, { cwd: source.root });
  // The serial number is random, so it goes.
  const { serialNumber: _, ...sbom } = JSON.parse(stdout) as Sbom & { readonly serialNumber: string };
  const bundled = bundledPackages(source.root, bundle.metafile);
  const components = sbom.components.filter((each) => bundled.has(each['bom-ref']));
  const missing = [...bundled].filter((ref) => !components.some((each) => each['bom-ref'] === ref));
  if (missing.length > 0) throw new Error(`npm sbom does not list what the bundle contains: ${missing.join(', ')}`);

  const { component } = sbom.metadata;
  const refs = new Set([component['bom-ref'], ...bundled]);
  const timestamp = new Date(source.epoch * 1000).toISOString();
  return {
    ...sbom,
    // npm names it after its folder.
    metadata: {
      ...sbom.metadata,
      timestamp,
      component: { ...component, name: 'lti-key-operator', type: 'application' },
    },
    components,
    dependencies: sbom.dependencies
      .filter(({ ref }) => refs.has(ref))
      .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((each) => refs.has(each)) })),
  };
}

/** `name@version` of each npm package that has code in the output. */
function bundledPackages(root: string, { outputs }: Metafile): ReadonlySet<string> {
  const paths = Object.values(outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : [])),
  );
  const folders = new Set(paths.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? []));
  return new Set(
    [...folders].map((folder) => {
      const manifest = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Component;
      return `${manifest.name}@${manifest.version}`;
    }),
  );
}

export interface ImageContents {
  /** `process.versions` of the Node inside. */
  readonly versions: Readonly<Record<string, string>>;
  readonly packages: readonly DebianPackage[];
}

/** The bundle, Node with the libraries inside it, and the Debian packages of the base image. */
export function imageSbom(bundle: Sbom, { versions, packages }: ImageContents): Sbom {
  const { node = '', ...libraries } = versions;
  const inNode = Object.entries(libraries)
    // Node gives no version for some, and those of its interfaces are not of code.
    .filter(([name, version]) => version !== '' && name !== 'modules' && name !== 'napi')
    .map(([name, version]) => ({ 'bom-ref': `node/${name}@${version}`, type: 'library', name, version }));
  const program = {
    'bom-ref': `node@${node}`,
    type: 'application',
    name: 'node',
    version: node,
    purl: `pkg:generic/node@${node}`,
  };
  const debian = packages.map(({ name, version, architecture }) => {
    const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}`;
    return { 'bom-ref': purl, type: 'library', name, version, purl };
  });
  const component = { ...bundle.metadata.component, type: 'container' };
  return {
    ...bundle,
    metadata: { ...bundle.metadata, component },
    components: [...bundle.components, program, ...inNode, ...debian],
    dependencies: [
      ...bundle.dependencies,
      { ref: program['bom-ref'], dependsOn: inNode.map((each) => each['bom-ref']) },
    ],
  };
}

/** Writes an SBOM for the bundle, and for the image of each architecture. @returns their names */
export async function sboms(build: Build, image: ImageArchive | undefined): Promise<string[]> {
  const { source, output, work } = build;
  const bundle = await bundleSbom(build);
  const written: Record<string, Sbom> = { [`lti-key-operator-${source.version}.cdx.json`]: bundle };
  for (const architecture of image?.architectures ?? []) {
    const packages = await packagesInImage(join(output, image?.file ?? ''), architecture, work);
    const file = `lti-key-operator-${source.version}-image-linux-${imageArchitectures[architecture]}.cdx.json`;
    written[file] = imageSbom(bundle, { versions: image?.versions ?? {}, packages });
  }
  for (const [file, sbom] of Object.entries(written)) {
    writeFileSync(join(output, file), `${JSON.stringify(sbom, null, 2)}\n`);
  }
  return Object.keys(written);
}
