import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** Architectures of a release, as Node names them and as images name them. */
export const imageArchitectures = { x64: 'amd64', arm64: 'arm64' } as const;

export type Architecture = keyof typeof imageArchitectures;

export interface BaseImages {
  /** Where npm builds, and from which `node` is copied. */
  readonly node: string;
  /** The layers below it. */
  readonly runtime: string;
}

export interface ReleaseOptions {
  /** The folder that is made. */
  readonly output: string;
  /** Name of the image in manifests and chart, without a tag. */
  readonly image: string;
  /** Undefined with `--without-image`, or if one of them was not named. */
  readonly baseImages: BaseImages | undefined;
  readonly withoutImage: boolean;
  readonly architectures: readonly Architecture[];
  readonly allowChanges: boolean;
  /** The tag in Git that is released, such as `v0.1.0`. */
  readonly tag: string | undefined;
}

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const usage = `Usage: npm run release -- [options]

Makes a release of the version in package.json: image, chart, manifests, kubectl-lti, npm package, SBOMs, checksums.

  --node-image=IMAGE       base image that brings Node and npm, with its digest: node@sha256:…
  --runtime-image=IMAGE    base image of the release, with its digest: gcr.io/distroless/cc-debian13@sha256:…
  --without-image          make everything but the image
  --arch=LIST              x64, arm64 or both (default: x64,arm64)
  --image=NAME             name of the image in manifests and chart (default: lti-key-operator)
  --tag=vVERSION           fail unless package.json and CHANGELOG.md have this version
  --output=FOLDER          what to make (default: release); a release in it is replaced
  --allow-changes          release a working tree with changes that are not committed
  --help

Exit codes: 0 the release is complete, 1 something failed, 2 wrong options, 3 something was left out, and a line says what.
`;

const options = {
  'node-image': { type: 'string' },
  'runtime-image': { type: 'string' },
  'without-image': { type: 'boolean', default: false },
  arch: { type: 'string', default: 'x64,arm64' },
  image: { type: 'string', default: 'lti-key-operator' },
  tag: { type: 'string' },
  output: { type: 'string', default: 'release' },
  'allow-changes': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** @returns undefined for `--help`. @throws UsageError */
export function parseOptions(args: readonly string[], root: string): ReleaseOptions | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const { 'node-image': node, 'runtime-image': runtime } = values;
  for (const [name, image] of Object.entries({ 'node-image': node, 'runtime-image': runtime })) {
    if (image !== undefined) requireDigest(name, image);
  }
  return {
    output: resolve(root, values.output),
    image: values.image,
    baseImages: node === undefined || runtime === undefined ? undefined : { node, runtime },
    withoutImage: values['without-image'],
    architectures: values.arch.split(',').map(architecture),
    allowChanges: values['allow-changes'],
    tag: values.tag,
  };
}

function parse(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof options }>>['values'] {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** A tag may name another image tomorrow. */
function requireDigest(option: string, image: string): void {
  if (/@sha256:[0-9a-f]{64}$/.test(image)) return;
  throw new UsageError(`--${option} needs a digest, as NAME@sha256:…. Got ${image}.`);
}

function architecture(name: string): Architecture {
  if (name === 'x64' || name === 'arm64') return name;
  throw new UsageError(`--arch takes x64 and arm64, separated by a comma. Got ${name}.`);
}
