import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../e2e/run.ts';
import { type Architecture, imageArchitectures } from './options.ts';

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

/** The parts that are used of https://github.com/opencontainers/image-spec (image index and manifest). */
interface Descriptor {
  readonly digest: string;
  readonly mediaType?: string;
  readonly platform?: { readonly architecture: string };
}
interface Index {
  readonly manifests: readonly Descriptor[];
}
interface Manifest {
  readonly layers: readonly Descriptor[];
}

const node = 'usr/local/bin/node';
const dpkg = 'var/lib/dpkg';

/** `e_machine`, in bytes 18 and 19 of an ELF file (https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html). */
const elfMachines: Readonly<Record<Architecture, number>> = { x64: 62, arm64: 183 };

/**
 * The Debian packages that an image in an OCI archive says that it has: dpkg's list, or that of distroless images.
 *
 * @throws Error if its Node is of another architecture, which a label does not show
 */
export async function packagesInImage(
  archive: string,
  architecture: Architecture,
  work: string,
): Promise<DebianPackage[]> {
  const layout = join(work, `image-${architecture}`);
  const files = join(layout, 'files');
  mkdirSync(files, { recursive: true });
  await run('tar', ['--extract', `--file=${archive}`, `--directory=${layout}`]);
  const blob = (digest: string): string => join(layout, 'blobs', digest.replace(':', '/'));
  const wanted = new RegExp(`^(\\./)?(${node}|${dpkg}/(status|status\\.d/[^/]+))$`);
  const { layers } = readJson(blob(manifestOf(layout, blob, architecture))) as Manifest;
  for (const layer of layers) {
    const { stdout } = await run('tar', ['--list', `--file=${blob(layer.digest)}`]);
    const found = stdout.split('\n').filter((path) => wanted.test(path));
    if (found.length > 0)
      await run('tar', ['--extract', `--file=${blob(layer.digest)}`, `--directory=${files}`, ...found]);
  }
  requireMachine(join(files, node), architecture);
  const lists = join(files, dpkg);
  mkdirSync(lists, { recursive: true });
  const texts = readdirSync(lists, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.md5sums'))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
  return texts.flatMap(packagesIn).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** @throws Error if an executable is not for this architecture */
export function requireMachine(program: string, architecture: Architecture): void {
  const header = Buffer.alloc(20);
  const file = openSync(program, 'r');
  readSync(file, header);
  closeSync(file);
  if (header.readUInt16LE(18) === elfMachines[architecture]) return;
  throw new Error(`The image for ${architecture} contains a Node for another architecture.`);
}

function manifestOf(layout: string, blob: (digest: string) => string, architecture: Architecture): string {
  const [top] = (readJson(join(layout, 'index.json')) as Index).manifests;
  const { manifests } = readJson(blob(top?.digest ?? '')) as Index;
  const found = manifests.find(({ platform }) => platform?.architecture === imageArchitectures[architecture]);
  if (found === undefined) throw new Error(`The image archive has no image for ${architecture}`);
  return found.digest;
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** dpkg's status: a paragraph for each package, with a field in each line. */
export function packagesIn(status: string): DebianPackage[] {
  return status.split(/\n\n+/).flatMap((paragraph) => {
    const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(paragraph)?.[1];
    const [name, version, architecture] = [field('Package'), field('Version'), field('Architecture')];
    return name && version && architecture ? [{ name, version, architecture }] : [];
  });
}
