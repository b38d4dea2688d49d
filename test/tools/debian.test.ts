import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Mount } from '../fixtures/mount.ts';
import { interpreters, type Language } from './debian.ts';
import { codeOf, headingsWithCode } from './page.ts';
import { type Outcome, type Platform, throughThreeRotations, tokens, toolProcess } from './rotation.ts';

const pages: readonly (readonly [string, Language, readonly string[]])[] = [
  ['php.md', 'php', ['Read the key', 'Sign']],
  ['ruby.md', 'ruby', ['json-jwt', 'jwt']],
  ['elixir.md', 'elixir', ['JOSE']],
];
const suffixes = { php: 'php', ruby: 'rb', elixir: 'exs' } as const;

const available = interpreters();
if (!available) {
  console.log(
    'The code of the pages for PHP, Ruby and Elixir is not run, because apt-get and dpkg give no packages here.',
  );
}

for (const [page, language, headings] of available ? pages : []) {
  const { command, args, env } = available![language];

  /** With several blocks, the program loads all of them. */
  const run = async (blocks: readonly string[]): Promise<Outcome> => {
    const folder = mkdtempSync(join(tmpdir(), 'page-'));
    const suffix = suffixes[language];
    blocks.forEach((code, index) => writeFileSync(join(folder, `page${index}.${suffix}`), code));
    const loaded = language === 'php' ? folder : join(folder, `page0.${suffix}`);
    const script = join(import.meta.dirname, 'debian', `tool.${suffix}`);
    const start = async (mount: Mount, platform: Platform) =>
      toolProcess(command, [...args, script, loaded, mount.path], platform, { env });
    return throughThreeRotations(start, { readsForEachToken: true }).finally(() => rmSync(folder, { recursive: true }));
  };

  describe(`docs/tools/${page}`, () => {
    it('The test runs all code of the page', () => {
      expect(headingsWithCode(page)).to.deep.equal(headings);
    });

    for (const parts of language === 'php' ? [headings] : headings.map((heading) => [heading])) {
      it(`${parts.join(', ')}: the platform accepts every client assertion through three rotations`, async () => {
        const blocks = parts.flatMap((heading) => codeOf(page, heading));
        expect(await run(blocks)).to.deep.equal({ accepted: tokens, refused: [] });
      });
    }
  });
}
