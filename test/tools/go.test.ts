import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { codeOf, headingsWithCode } from './page.ts';
import { throughThreeRotations, tokens, toolProcess } from './rotation.ts';

const here = join(import.meta.dirname, 'go');

describe('docs/tools/go.md', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'page-'));
    mkdirSync(join(folder, 'page'));
    for (const name of ['go.mod', 'go.sum', 'main.go']) copyFileSync(join(here, name), join(folder, name));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it('The test runs all code of the page', () => {
    expect(headingsWithCode('go.md')).to.deep.equal(['go-jose', 'golang-jwt']);
  });

  for (const heading of ['go-jose', 'golang-jwt']) {
    it(`${heading}: the platform accepts every client assertion through three rotations`, async () => {
      const [code = ''] = codeOf('go.md', heading);
      writeFileSync(join(folder, 'page/page.go'), code);
      const formatted = spawnSync('gofmt', ['-l', 'page'], { cwd: folder, encoding: 'utf8' });
      expect(formatted.stdout, 'files that gofmt would change').to.equal('');
      execFileSync('go', ['build', '-o', 'tool', '.'], { cwd: folder });
      const outcome = await throughThreeRotations(
        async (mount, platform) => toolProcess(join(folder, 'tool'), [mount.path], platform),
        { readsForEachToken: true },
      );
      expect(outcome).to.deep.equal({ accepted: tokens, refused: [] });
    }).timeout(240_000);
  }
});
