import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { sectionOf } from '../../../../dev/release/changelog.ts';
import { readSource, type Source } from '../../../../dev/release/source.ts';

const changelog = '# Changelog\n\n## [Unreleased]\n\nNothing.\n\n## [1.2.3] - 2026-11-27\n\n### Added\n\n- A.\n';

describe('What a release is made of', () => {
  let root: string;
  const write = (name: string, text: string): void => writeFileSync(join(root, name), text);
  const git = (...args: string[]): Buffer =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], { cwd: root });
  const read = (checks: { allowChanges?: boolean; tag?: string } = {}): Promise<Source> =>
    readSource(root, { allowChanges: false, tag: undefined, ...checks });
  const failure = (of: Promise<Source>): Promise<string> =>
    of.then(
      () => '',
      (error: Error) => error.message,
    );

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'release-source-'));
    write('package.json', JSON.stringify({ version: '1.2.3', devDependencies: { node: process.versions.node } }));
    write('CHANGELOG.md', changelog);
    git('init', '--quiet');
    git('add', '.');
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', 'commit', '--quiet', '-m', 'A'], {
      cwd: root,
      env: { ...process.env, GIT_COMMITTER_DATE: '1700000000 +0000' },
    });
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it('Version, commit and time come from package.json and Git', async () => {
    const commit = git('rev-parse', 'HEAD').toString().trim();
    expect(await read({ tag: 'v1.2.3' })).to.deep.include({ version: '1.2.3', commit, epoch: 1_700_000_000 });
  });

  it('A working tree with changes is refused unless they are allowed', async () => {
    write('new', '');
    expect(await failure(read())).to.include('changes that are not committed');
    expect(await read({ allowChanges: true })).to.include({ version: '1.2.3' });
  });

  it('A tag of another version is refused', async () => {
    expect(await failure(read({ tag: 'v1.2.4' }))).to.include('The tag must be v1.2.3');
  });

  it('A tag without its section in the changelog is refused', async () => {
    write('CHANGELOG.md', changelog.replace('[1.2.3]', '[1.2.2]'));
    expect(await failure(read({ tag: 'v1.2.3', allowChanges: true }))).to.include('no section “[1.2.3]”');
    expect(await read({ allowChanges: true })).to.include({ notes: 'Nothing.' });
  });

  it('Another Node than that of package.json is refused', async () => {
    write('package.json', JSON.stringify({ version: '1.2.3', devDependencies: { node: '24.0.0' } }));
    expect(await failure(read({ allowChanges: true }))).to.include('package.json names 24.0.0');
  });
});

describe('sectionOf', () => {
  it('A section ends where the next begins', () => {
    expect(sectionOf(changelog, 'Unreleased')).to.equal('Nothing.');
    expect(sectionOf(changelog, '1.2.3')).to.equal('### Added\n\n- A.');
    expect(sectionOf(changelog, '1.2')).to.equal(undefined);
  });
});
