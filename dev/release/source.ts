import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../e2e/run.ts';
import { sectionOf } from './changelog.ts';

/** What a release is made of. */
export interface Source {
  /** Folder of the checkout. */
  readonly root: string;
  readonly version: string;
  /** Version of Node in package.json, which builds and runs everything. */
  readonly node: string;
  /** 40 hexadecimal digits; undefined outside of Git. */
  readonly commit: string | undefined;
  /** Seconds since 1970, for all times in the files: `SOURCE_DATE_EPOCH`, or the time of the commit. */
  readonly epoch: number;
  /** What CHANGELOG.md says about this version, or about what is not released yet. */
  readonly notes: string;
}

interface Checks {
  readonly allowChanges: boolean;
  readonly tag: string | undefined;
}

/** @throws Error if this checkout must not be released */
export async function readSource(root: string, { allowChanges, tag }: Checks): Promise<Source> {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly version: string;
    readonly devDependencies: { readonly node: string };
  };
  const { version } = manifest;
  const node = manifest.devDependencies.node;
  if (process.version !== `v${node}`) {
    throw new Error(`This is Node ${process.version}, and package.json names ${node}. Start it with: npm run release`);
  }
  const git = (...args: string[]): Promise<string> => run('git', args, { cwd: root }).then((ran) => ran.stdout.trim());
  const commit = await git('rev-parse', 'HEAD').catch(() => undefined);
  if (!allowChanges && commit !== undefined && (await git('status', '--porcelain')) !== '') {
    throw new Error('The working tree has changes that are not committed. Commit them, or add --allow-changes.');
  }
  const notes = notesOf(readFileSync(join(root, 'CHANGELOG.md'), 'utf8'), version, tag);
  return { root, version, node, commit, epoch: await epochOf(commit, git), notes };
}

function notesOf(changelog: string, version: string, tag: string | undefined): string {
  if (tag !== undefined && tag !== `v${version}`) {
    throw new Error(`The tag is ${tag}, and package.json has version ${version}. The tag must be v${version}.`);
  }
  const notes = sectionOf(changelog, version) ?? (tag === undefined ? sectionOf(changelog, 'Unreleased') : undefined);
  if (notes === undefined) throw new Error(`CHANGELOG.md has no section “[${version}]”. Add it before the release.`);
  return notes;
}

async function epochOf(commit: string | undefined, git: (...args: string[]) => Promise<string>): Promise<number> {
  const given = process.env['SOURCE_DATE_EPOCH'];
  const seconds = Number(given ?? (commit === undefined ? Number.NaN : await git('log', '-1', '--format=%ct')));
  if (Number.isSafeInteger(seconds) && seconds > 0) return seconds;
  throw new Error(
    'The time of the release is unknown. Run it in a checkout with Git, or set SOURCE_DATE_EPOCH in seconds.',
  );
}
