/** `npm run release`: everything that a user installs or verifies, made from one commit. docs/releases.md describes it. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseOptions, type ReleaseOptions, usage, UsageError } from './options.ts';
import { makeRelease, type Release } from './release.ts';
import { readSource } from './source.ts';

const usageCode = 2;
const leftOutCode = 3;
const root = join(import.meta.dirname, '../..');

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), root);
  if (options === undefined) {
    process.stdout.write(usage);
    return 0;
  }
  const source = await readSource(root, options);
  const work = mkdtempSync(join(tmpdir(), 'lti-release-'));
  try {
    const release = await makeRelease(source, options, work);
    report(release, options, source.version);
    return release.leftOut.length === 0 ? 0 : leftOutCode;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function report({ checksums, leftOut }: Release, { output, withoutImage }: ReleaseOptions, version: string): void {
  console.log(`${relative(process.cwd(), output)} has release ${version}:`);
  for (const file of [...Object.keys(checksums), 'SHA256SUMS']) {
    const kibibytes = Math.ceil(statSync(join(output, file)).size / 1024);
    console.log(`${String(kibibytes).padStart(8)} KiB  ${file}`);
  }
  if (withoutImage) console.log('The image was not made: --without-image.');
  for (const sentence of leftOut) console.error(`LEFT OUT. ${sentence}`);
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof UsageError ? usageCode : 1;
}
