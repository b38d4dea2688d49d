import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findPrograms } from '../control-plane/binaries.ts';
import { bundle } from '../build.ts';
import { helmProgram } from '../helm/build.ts';
import type { Build } from './build.ts';
import { chartPackage } from './chart.ts';
import { hasBuildah, type ImageArchive, imageArchive } from './image.ts';
import { manifests } from './manifests.ts';
import { sha256 } from './node-binaries.ts';
import type { ReleaseOptions } from './options.ts';
import { kubectlLti, npmPackage } from './programs.ts';
import { sboms } from './sbom.ts';
import type { Source } from './source.ts';

export interface Release {
  /** Names of the files, sorted, with their checksums as `SHA256SUMS` has them. */
  readonly checksums: Readonly<Record<string, string>>;
  /** A sentence for each part that is missing. */
  readonly leftOut: readonly string[];
}

const sums = 'SHA256SUMS';

/** Makes all files of a release. The folder appears when everything is in it. */
export async function makeRelease(source: Source, options: ReleaseOptions, work: string): Promise<Release> {
  const { output } = options;
  if (existsSync(output) && !existsSync(join(output, sums))) {
    throw new Error(`${output} exists and is no release. Choose another folder with --output.`);
  }
  const unfinished = `${output}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  try {
    const leftOut = await makeFiles(await prepare(source, options, work, unfinished), options);
    const checksums = await writeChecksums(unfinished);
    rmSync(output, { recursive: true, force: true });
    renameSync(unfinished, output);
    return { checksums, leftOut };
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

async function makeFiles(build: Build, options: ReleaseOptions): Promise<readonly string[]> {
  const leftOut: string[] = [];
  const image = await imageUnlessLeftOut(build, options, leftOut);
  await chartPackage(build);
  await manifests(build);
  await npmPackage(build);
  await kubectlLti(build);
  await sboms(build, image);
  writeFileSync(join(build.output, 'RELEASE_NOTES.md'), `${build.source.notes}\n`);
  return leftOut;
}

async function prepare(source: Source, options: ReleaseOptions, work: string, output: string): Promise<Build> {
  const { image, architectures } = options;
  const folder = join(work, 'bundle');
  const metafile = await bundle(folder, { sourcemap: false });
  const { kubectl } = await findPrograms(['kubectl']);
  const tools = { helm: await helmProgram(), kubectl };
  return { source, image, architectures, bundle: { folder, metafile }, tools, work, output };
}

async function imageUnlessLeftOut(
  build: Build,
  { withoutImage, baseImages }: ReleaseOptions,
  leftOut: string[],
): Promise<ImageArchive | undefined> {
  if (withoutImage) return undefined;
  if (baseImages === undefined) {
    leftOut.push('The image: name its base images with --node-image and --runtime-image.');
    return undefined;
  }
  if (!(await hasBuildah())) {
    leftOut.push('The image: there is no buildah on the PATH. Install it (Debian: buildah).');
    return undefined;
  }
  const image = await imageArchive(build, baseImages);
  for (const architecture of build.architectures) {
    if (image?.architectures.includes(architecture) === true) continue;
    leftOut.push(`The image for ${architecture}: a base image does not have this architecture.`);
  }
  return image;
}

async function writeChecksums(folder: string): Promise<Readonly<Record<string, string>>> {
  const checksums: Record<string, string> = {};
  for (const file of readdirSync(folder).toSorted()) checksums[file] = await sha256(join(folder, file));
  const lines = Object.entries(checksums).map(([file, sum]) => `${sum}  ${file}\n`);
  writeFileSync(join(folder, sums), lines.join(''));
  return checksums;
}
