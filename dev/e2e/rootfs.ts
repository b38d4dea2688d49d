import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from './run.ts';

const certificates = '/etc/ssl/certs/ca-certificates.crt';

/**
 * A folder to make a base image of, from what this machine has, because base images cannot be pulled everywhere. It
 * holds each program (by its path in the image) and the shared libraries that it needs.
 */
export async function makeRootfs(folder: string, programs: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, program] of Object.entries(programs)) {
    copy(realpathSync(program), join(folder, path));
    for (const library of await librariesOf(program)) copy(library, join(folder, library));
  }
  for (const path of ['tmp', 'etc', 'root', 'proc', 'sys', 'dev']) mkdirSync(join(folder, path), { recursive: true });
  chmodSync(join(folder, 'tmp'), 0o1777);
  writeFileSync(join(folder, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(folder, 'etc/group'), 'root:x:0:\n');
}

/** Adds npm, where `node:*-slim` has it, from the npm package at `source`; it trusts the authorities that this machine trusts. */
export function addNpm(folder: string, source: string, registry: string): void {
  const target = 'usr/local/lib/node_modules/npm';
  cpSync(source, join(folder, target), { recursive: true, dereference: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(folder, 'usr/local/bin/npm'));
  mkdirSync(join(folder, 'usr/local/etc'), { recursive: true });
  let settings = `registry=${registry}\n`;
  if (existsSync(certificates)) {
    copy(certificates, join(folder, certificates));
    settings += `cafile=${certificates}\n`;
  }
  writeFileSync(join(folder, 'usr/local/etc/npmrc'), settings);
}

/** What the dynamic linker loads for the program: `name => /path (address)` or `/path (address)` a line. */
async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await run('ldd', [program]);
  return stdout.split('\n').flatMap((line) => /(?:=> |^\s*)(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}

function copy(from: string, to: string): void {
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}
