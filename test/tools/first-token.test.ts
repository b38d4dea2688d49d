import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { openKeyDirectory, signClientAssertion } from '../../tool/typescript/src/tool-keys.ts';
import { eventually } from '../fixtures/command.ts';
import { buildIfStale } from '../fixtures/installed.ts';
import { cached } from './cache.ts';
import { codeOf } from './page.ts';
import { hasPython, requirements } from './python.ts';

/** The pages are followed from nothing but a checkout: install a library, start `kubectl lti dev`, and run a program. */

const root = join(import.meta.dirname, '../..');
const command = join(root, 'dist/kubectl-lti.js');
const program = (page: string, directory: string): string =>
  codeOf(page, 'A first token')[0]!.replace('/tmp/lti/canvas', directory);

/** Runs the program until it got access tokens with three keys in turn, and refuses any answer but 200. */
async function expectThreeKeys(tool: ChildProcess): Promise<void> {
  const errors = text(tool.stderr!);
  const keyIDs = new Set<string>();
  try {
    for await (const line of createInterface(tool.stdout!)) {
      const [status, keyID = ''] = line.split(' ');
      expect(status, line).to.equal('200');
      keyIDs.add(keyID);
      if (keyIDs.size === 3) return;
    }
  } finally {
    tool.kill();
  }
  throw new Error(`The program ended: ${await errors}`);
}

describe('The way to a first token', () => {
  let folder: string;
  let directory: string;
  let dev: ChildProcess;
  let output: string;
  before(buildIfStale);

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'first-token-'));
    directory = join(folder, 'canvas');
    const args = ['--directory', directory, '--port', '0', '--rotate-every', '1s', '--activation-delay', '1s'];
    dev = spawn(process.execPath, [command, 'dev', 'canvas', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    output = '';
    for (const stream of [dev.stdout!, dev.stderr!])
      stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    await eventually(`kubectl lti dev says that a key signs`, () => / signs\n/.test(output));
  });
  afterEach(() => {
    dev.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  it('The program of docs/tools/node.md gets access tokens through two rotations, with the package that the page installs', async () => {
    const [install = ''] = codeOf('node.md', 'Install');
    expect(install).to.match(/^npm ci\n/);
    const env = { ...process.env, npm_config_pack_destination: folder, npm_config_prefer_offline: 'true' };
    execFileSync('sh', ['-euc', install.replace('npm ci\n', '')], { cwd: root, env, stdio: 'pipe' });
    const page = readFileSync(join(root, 'docs/tools/node.md'), 'utf8');
    const [, file = ''] = /npm install \S+\/(\S+\.tgz)/.exec(page) ?? [];
    execFileSync('npm', ['install', '--no-audit', '--no-fund', join(folder, file)], {
      cwd: folder,
      env,
      stdio: 'pipe',
    });
    writeFileSync(join(folder, 'first-token.mjs'), program('node.md', directory));
    await expectThreeKeys(spawn(process.execPath, ['first-token.mjs'], { cwd: folder }));
    const required = ['-p', "typeof require('@lti-key-operator/tool-keys').openKeyDirectory"];
    expect(execFileSync(process.execPath, required, { cwd: folder, encoding: 'utf8' })).to.equal('function\n');
  });

  if (hasPython) {
    it('The program of docs/tools/python.md gets access tokens through two rotations, with the package that the page installs', async () => {
      writeFileSync(join(folder, 'first_token.py'), program('python.md', directory));
      await expectThreeKeys(spawn(installedLibrary(), ['-B', 'first_token.py'], { cwd: folder }));
    });
  }

  it('A client assertion is accepted with the command of docs/tools/use-the-key.md, verifies with the served JWKS, and the keys are deleted on SIGTERM', async () => {
    const [port = ''] = /(?<=127\.0\.0\.1:)\d+/.exec(output) ?? [];
    const keys = await openKeyDirectory(directory);
    const assertion = await signClientAssertion(keys);
    await jwtVerify(assertion, createRemoteJWKSet(new URL(keys.current().registration.tool_jwks_uri!)));
    keys.close();
    const [, curl = ''] = codeOf('use-the-key.md', 'Without a cluster');
    const request = spawnSync('sh', ['-euc', curl.replace('8480', port)], {
      env: { ...process.env, assertion },
      encoding: 'utf8',
    });
    expect(request.stdout, request.stderr).to.include('"access_token"');
    const exited = once(dev, 'exit');
    dev.kill('SIGTERM');
    expect(await exited).to.deep.equal([130, null]);
    expect(existsSync(directory)).to.equal(false);
  });
});

/** Python in a virtual environment with the library as docs/tools/python.md installs it, and requests. */
function installedLibrary(): string {
  const sources = globSync(join(root, 'tool/python/{pyproject.toml,src/**/*.py}')).toSorted();
  const [install = ''] = codeOf('python.md', 'Install');
  const venv = cached('python-library', [install, requirements, process.arch, ...sources], (to) => {
    // pip builds in the source tree.
    const checkout = mkdtempSync(join(tmpdir(), 'checkout-'));
    cpSync(join(root, 'tool/python'), join(checkout, 'tool/python'), { recursive: true });
    execFileSync('python3', ['-m', 'venv', to]);
    const PATH = [join(to, 'bin'), process.env['PATH']].join(delimiter);
    const env = { ...process.env, PATH, PIP_CONSTRAINT: requirements };
    execFileSync('sh', ['-euc', `${install}\npip install requests`], { cwd: checkout, env, stdio: 'pipe' });
    rmSync(checkout, { recursive: true });
  });
  return join(venv, 'bin/python');
}
