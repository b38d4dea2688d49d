import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { expect } from 'chai';
import { decodeProtectedHeader } from 'jose';
import { openKeyDirectory, signClientAssertion } from '../../tool/typescript/src/tool-keys.ts';
import { eventually } from '../fixtures/command.ts';
import { files, keyPairs, Mount } from '../fixtures/mount.ts';
import { cached } from './cache.ts';
import { codeOf, headingsWithCode } from './page.ts';
import { hasPython, requirements } from './python.ts';
import { audience, clientID, type Outcome, throughThreeRotations, tokens, toolProcess } from './rotation.ts';

const root = join(import.meta.dirname, '../..');

/** A virtual environment with the packages of `python/requirements.txt`. */
function installedPython(): string {
  const folder = cached('python', [requirements, process.arch], (to) => {
    execFileSync('python3', ['-m', 'venv', to]);
    execFileSync(join(to, 'bin/pip'), ['install', '--quiet', '--no-deps', '--requirement', requirements]);
  });
  return join(folder, 'bin/python');
}

async function listeningURL(log: Readable): Promise<string> {
  for await (const line of createInterface(log)) {
    const [, url] = /Listening at: (\S+)/.exec(line) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error('gunicorn ended');
}

/** Asks until two workers have answered. */
async function keyIDsOfWorkers(url: string): Promise<ReadonlySet<string>> {
  const workers = new Set<string>();
  const keyIDs = new Set<string>();
  while (workers.size < 2) {
    const response = await fetch(url, { headers: { connection: 'close' } });
    const [worker = '', keyID = ''] = (await response.text()).split(' ');
    workers.add(worker);
    keyIDs.add(keyID);
  }
  return keyIDs;
}

if (!hasPython)
  console.log('The code of docs/tools/python.md is not run, because python3 (3.10 or newer) is not installed.');

if (hasPython) {
  describe('docs/tools/python.md', () => {
    let python: string;
    before(function () {
      this.timeout(240_000);
      python = installedPython();
    });

    const run = (setUp: string, asks?: readonly string[]): Promise<Outcome> =>
      throughThreeRotations(async (mount, platform) => {
        const folder = mkdtempSync(join(tmpdir(), 'page-'));
        const [code = ''] = codeOf('python.md', setUp);
        writeFileSync(join(folder, 'page.py'), code.replace('/lti/canvas', mount.path));
        const PYTHONPATH = [join(root, 'tool/python/src'), folder].join(':');
        const args = ['-B', join(import.meta.dirname, 'python/tool.py'), setUp, mount.path];
        const tool = toolProcess(python, args, platform, {
          env: { ...process.env, PYTHONPATH },
          ...(asks ? { asks } : {}),
        });
        const stop = async (): Promise<void> => {
          await tool.stop();
          rmSync(folder, { recursive: true });
        };
        return { sign: () => tool.sign(), stop };
      });

    it('The tests run all code of the page', () => {
      // The first two in first-token.test.ts.
      const setUps = ['Install', 'A first token', 'PyLTI1p3', 'Authlib', 'PyJWT', 'PyJWT without the library'];
      expect(headingsWithCode('python.md')).to.deep.equal(setUps);
    });

    it('PyJWT and joserfc verify what the TypeScript library signs, with the key set that is served, through three rotations', async () => {
      const child = spawn(python, ['-B', join(import.meta.dirname, 'python/verifier.py')], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
      const answers: string[] = [];
      const keyIDs = new Set<unknown>();
      const outcome = await throughThreeRotations(async (mount, platform) => {
        const keys = await openKeyDirectory(mount.path);
        const sign = async (): Promise<void> => {
          const token = await signClientAssertion(keys);
          keyIDs.add(decodeProtectedHeader(token).kid);
          child.stdin.write(`${JSON.stringify({ token, keys: platform.served, audience, issuer: clientID })}\n`);
          answers.push(String((await lines.next()).value));
          await platform.takeClientAssertion(token);
        };
        const stop = (): void => {
          keys.close();
          child.stdin.end();
        };
        return { sign, stop };
      });
      expect(outcome).to.deep.equal({ accepted: tokens, refused: [] });
      expect(answers.length).to.be.at.least(tokens);
      expect(new Set(answers)).to.deep.equal(new Set(['accepted']));
      expect(keyIDs.size).to.equal(4);
    });

    it('PyLTI1p3 signs client assertions and deep-linking responses that the platform accepts, through three rotations', async () => {
      expect(await run('PyLTI1p3', ['assertion', 'response'])).to.deep.equal({ accepted: 2 * tokens, refused: [] });
    });

    for (const setUp of ['Authlib', 'PyJWT', 'PyJWT without the library']) {
      it(`${setUp}: the platform accepts every client assertion through three rotations`, async () => {
        expect(await run(setUp)).to.deep.equal({ accepted: tokens, refused: [] });
      });
    }

    it('PyLTI1p3 finds a registration by issuer and client ID, also one that a bundle got later, and a deployment that is listed or any if none is', () => {
      const script = join(import.meta.dirname, 'python/tool_conf.py');
      const PYTHONPATH = ['src', 'tests'].map((folder) => join(root, 'tool/python', folder)).join(':');
      const env = { ...process.env, PYTHONPATH };
      const { status, stderr } = spawnSync(python, ['-B', script], { env, encoding: 'utf8' });
      expect(status, stderr).to.equal(0);
    });

    it('The forked workers of gunicorn get the new key after a swap', async () => {
      const [first, second] = await keyPairs;
      const mount = new Mount();
      mount.swap(files(first));
      const PYTHONPATH = [join(root, 'tool/python/src'), join(import.meta.dirname, 'python')].join(':');
      const args = ['-B', '-m', 'gunicorn', '--preload', '--workers', '2', '--bind', '127.0.0.1:0', 'app:app'];
      const server = spawn(python, args, { env: { ...process.env, PYTHONPATH, MOUNT: mount.path } });
      const exited = once(server, 'exit');
      try {
        const url = await listeningURL(server.stderr);
        expect(await keyIDsOfWorkers(url)).to.deep.equal(new Set([first.keyID]));
        mount.swap(files(second));
        await eventually('both have it', async () => {
          expect(await keyIDsOfWorkers(url)).to.deep.equal(new Set([second.keyID]));
          return true;
        });
      } finally {
        server.kill();
        await exited;
        mount.remove();
      }
    });
  });
}
