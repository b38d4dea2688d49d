import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { openKeyDirectory, signClientAssertion } from '../../tool/typescript/src/tool-keys.ts';
import { eventually } from '../fixtures/command.ts';
import { buildIfStale } from '../fixtures/installed.ts';

const command = join(import.meta.dirname, '../../dist/kubectl-lti.js');

describe('kubectl lti dev as a process', () => {
  before(buildIfStale);

  it('kubectl lti dev rotates under a tool without a refused token, and deletes the keys on SIGTERM', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'dev-'));
    const directory = join(folder, 'canvas');
    const timing = ['--rotate-every', '2s', '--activation-delay', '1s', '--overlap', '2s'];
    const args = ['dev', '--directory', directory, '--port', '0', ...timing];
    const running = spawn(process.execPath, [command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(running, 'exit');
    let output = '';
    running.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    try {
      const url = await eventually('the command says its JWKS URL', () => /http:\S+/.exec(output)?.[0]);
      await eventually('a key signs', () => / signs\n/.test(output));
      const keys = await openKeyDirectory(directory);
      const keySet = createRemoteJWKSet(new URL(url), { cooldownDuration: 0 });
      const keyIDs = new Set<string>();
      await eventually('three keys have signed', async () => {
        const token = await signClientAssertion(keys);
        await jwtVerify(token, keySet);
        keyIDs.add(decodeProtectedHeader(token).kid ?? '');
        return keyIDs.size === 3;
      });
      keys.close();
      running.kill('SIGTERM');
      expect(await exited).to.deep.equal([130, null]);
      expect(existsSync(directory)).to.equal(false);
    } finally {
      running.kill('SIGKILL');
      rmSync(folder, { recursive: true });
    }
  });
});
