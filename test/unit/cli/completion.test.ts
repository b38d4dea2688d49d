import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { runCli } from '../../../src/cli/program.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';
import { fishOffers, zshOffers } from '../../fixtures/shells.ts';

describe('kubectl lti completion', () => {
  let folder: string;

  before(() => (folder = mkdtempSync(join(tmpdir(), 'completion-'))));
  after(() => rmSync(folder, { recursive: true }));

  async function script(shell: string): Promise<string> {
    const terminal = fakeTerminal();
    expect(await runCli(['completion', shell], terminal)).to.equal(0);
    const file = join(folder, shell);
    writeFileSync(file, terminal.output());
    return file;
  }

  /** Each has the words before the cursor, the last one incomplete, and some of the words that are offered. */
  const lines: readonly (readonly [words: readonly string[], offered: readonly string[]])[] = [
    [['st'], ['status']],
    [['kek', ''], ['status']],
    [['kek', 'status', '--op'], ['--operator-namespace']],
    [
      ['status', '-o', ''],
      ['table', 'json', 'yaml', 'name'],
    ],
    [
      ['doctor', '--output', ''],
      ['table', 'json', 'yaml'],
    ],
    [['status', '-A', '--che'], ['--check']],
    [['completion', 'f'], ['fish']],
    [['revoke', 'canvas', '--is'], ['--issuer']],
    [['status', "it's", '--zzz'], []],
  ];

  it('completion completes kubectl-lti in bash', async () => {
    const file = await script('bash');
    for (const [words, offered] of lines) {
      const run = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kubectl_lti; echo "${COMPREPLY[*]}"';
      const out = execFileSync('bash', ['-c', run, 'bash', file, 'kubectl-lti', ...words], { encoding: 'utf8' });
      expect(out.trim().split(' ').filter(Boolean), words.join(' ')).to.deep.equal(offered);
    }
  });

  it('completion completes kubectl lti for kubectl, which expects one word on each line and then a directive', async () => {
    const file = await script('kubectl');
    for (const [words, offered] of lines) {
      const out = execFileSync('sh', [file, ...words], { encoding: 'utf8' });
      expect(out.trim().split('\n'), words.join(' ')).to.deep.equal([...offered, ':4']);
    }
  });

  it('completion completes kubectl-lti in zsh', async () => {
    const file = await script('zsh');
    for (const [words, offered] of lines) {
      expect(zshOffers(file, ['kubectl-lti', ...words]), words.join(' ')).to.deep.equal(offered);
    }
  });

  it('completion completes kubectl-lti in fish', async () => {
    const file = await script('fish');
    for (const [words, offered] of lines) {
      expect(fishOffers(file, ['kubectl-lti', ...words]), words.join(' ')).to.have.members(offered);
    }
  });

  it('completion exits with 2 for a shell that it does not know', async () => {
    const terminal = fakeTerminal();
    expect(await runCli(['completion', 'tcsh'], terminal)).to.equal(2);
    expect(terminal.errors()).to.include('Allowed choices are bash, zsh, fish, kubectl');
  });
});
