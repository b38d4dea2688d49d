import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../e2e/run.ts';
import type { Build } from './build.ts';
import { type Architecture, type BaseImages, imageArchitectures } from './options.ts';

export interface ImageArchive {
  readonly file: string;
  readonly architectures: readonly Architecture[];
  /** `process.versions` of the Node inside; of this one if no image has the architecture of this machine. */
  readonly versions: Readonly<Record<string, string>>;
}

export async function hasBuildah(): Promise<boolean> {
  return run('buildah', ['--version']).then(
    () => true,
    () => false,
  );
}

/**
 * Builds the image from the Dockerfile into an OCI archive, for each architecture that both base images have.
 *
 * Buildah 1.28 builds several platforms of one command at once and mixes them up, so each one has its own command.
 */
export async function imageArchive(build: Build, bases: BaseImages): Promise<ImageArchive | undefined> {
  const { source, output, image } = build;
  const buildah = buildahIn(join(build.work, 'buildah'), source.root);
  const architectures: Architecture[] = [];
  for (const architecture of build.architectures) {
    const has = await Promise.all(Object.values(bases).map((base) => hasArchitecture(buildah, base, architecture)));
    if (has.every(Boolean)) architectures.push(architecture);
  }
  const [first] = architectures;
  if (first === undefined) return undefined;

  const list = `localhost/lti-key-operator:${source.version}`;
  const ids: Partial<Record<string, string>> = {};
  for (const architecture of architectures) {
    const args = ['bud', '--quiet', ...budArguments(source, bases, architecture), '--manifest', list, source.root];
    ids[architecture] = (await buildah(args)).split('\n').at(-1) ?? '';
  }
  const file = `lti-key-operator-${source.version}-image.tar`;
  const target = `oci-archive:${join(output, file)}:${image}:${source.version}`;
  await buildah(['manifest', 'push', '--all', '--quiet', '--format', 'oci', list, target]);
  const native = ids[process.arch];
  const versions = native === undefined ? processVersions() : await versionsIn(buildah, native);
  if (versions['node'] !== source.node) {
    throw new Error(
      `The image has Node ${versions['node']}, and package.json names ${source.node}: change --node-image.`,
    );
  }
  return { file, architectures, versions };
}

type Buildah = (args: readonly string[]) => Promise<string>;

/** Buildah with a storage of its own. */
function buildahIn(folder: string, cwd: string): Buildah {
  mkdirSync(folder);
  const storage = ['--storage-driver', 'vfs', '--root', join(folder, 'storage'), '--runroot', join(folder, 'run')];
  const env = { ...process.env, TMPDIR: folder };
  return async (args) => (await run('buildah', [...storage, ...args], { cwd, env })).stdout.trim();
}

/** An image without a list of platforms is used for any platform, so its configuration decides. */
async function hasArchitecture(buildah: Buildah, image: string, architecture: Architecture): Promise<boolean> {
  const arch = imageArchitectures[architecture];
  try {
    const id = await buildah(['pull', '--quiet', '--arch', arch, image]);
    const found = await buildah(['inspect', '--type', 'image', '--format', '{{.OCIv1.Architecture}}', id]);
    return found === arch;
  } catch (error) {
    if (/no image found in (manifest list|image index)/.test(String(error))) return false;
    throw error;
  }
}

function budArguments(source: Build['source'], bases: BaseImages, architecture: Architecture): string[] {
  const [baseName = '', baseDigest = ''] = bases.runtime.split('@');
  const labels = {
    version: source.version,
    created: new Date(source.epoch * 1000).toISOString(),
    ...(source.commit === undefined ? {} : { revision: source.commit }),
    'base.name': baseName,
    'base.digest': baseDigest,
  };
  const platform = `linux/${imageArchitectures[architecture]}`;
  const buildArguments = {
    TARGETPLATFORM: platform,
    BUILDPLATFORM: `linux/${imageArchitectures[process.arch as Architecture]}`,
    NODE_IMAGE: bases.node,
    RUNTIME_IMAGE: bases.runtime,
  };
  return [
    '--isolation=chroot',
    '--layers=false',
    '--file=Dockerfile',
    `--platform=${platform}`,
    `--timestamp=${source.epoch}`,
    ...Object.entries(buildArguments).map(([name, value]) => `--build-arg=${name}=${value}`),
    ...Object.entries(labels).map(([name, value]) => `--label=org.opencontainers.image.${name}=${value}`),
  ];
}

function processVersions(): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(process.versions).map(([name, version]) => [name, version ?? '']));
}

/** Runs Node in an image of this machine's architecture. */
async function versionsIn(buildah: Buildah, image: string): Promise<Readonly<Record<string, string>>> {
  const container = await buildah(['from', '--quiet', image]);
  const command = ['node', '--print', 'JSON.stringify(process.versions)'];
  // Under chroot isolation, buildah 1.28 sometimes loses all output and succeeds: in 1 of 25 runs on 2026-11-27.
  for (let attempt = 1; attempt <= 5; attempt++) {
    const versions = await buildah(['run', '--isolation', 'chroot', container, '--', ...command]);
    if (versions !== '') return JSON.parse(versions);
  }
  throw new Error('Node in the image printed nothing. Build the image by itself to see why: buildah bud .');
}
