import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { DeliveredKeys, type LtijsDatabase } from '../../tool/typescript/src/ltijs.ts';
import { type Delivery, KeyDirectoryError, openKeyDirectory } from '../../tool/typescript/src/tool-keys.ts';
import { files, keyPairs, Mount, registration } from '../fixtures/mount.ts';
import { cached } from './cache.ts';
import { codeOf, headingsWithCode } from './page.ts';
import { type Outcome, throughThreeRotations, tokens, toolProcess } from './rotation.ts';

const here = join(import.meta.dirname, 'node');
const library = join(import.meta.dirname, '../../tool/typescript/src');

/** A folder with the packages of `node/package-lock.json`. */
function installed(): string {
  const manifests = ['package.json', 'package-lock.json'];
  return cached(
    'node',
    manifests.map((name) => join(here, name)),
    (folder) => {
      for (const name of manifests) copyFileSync(join(here, name), join(folder, name));
      execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--silent'], { cwd: folder });
    },
  );
}

describe('docs/tools/node.md', () => {
  let packages: string;
  before(function () {
    this.timeout(240_000);
    packages = installed();
  });

  const run = (code: string, asks?: readonly string[]): Promise<Outcome> => {
    // Beside the packages, so that the imports of the page resolve.
    const folder = mkdtempSync(join(packages, 'page-'));
    for (const name of ['database.js', 'storage.js']) copyFileSync(join(here, name), join(folder, name));
    const readsForEachToken = !code.includes('tool-keys');
    return throughThreeRotations(
      async (mount, platform) => {
        const source = (name: string): string => pathToFileURL(join(library, name)).href;
        const runnable = code
          .replaceAll('@lti-key-operator/tool-keys/ltijs', source('ltijs.ts'))
          .replaceAll('@lti-key-operator/tool-keys', source('tool-keys.ts'))
          .replaceAll('/lti/canvas', mount.path);
        const page = join(folder, 'page.mjs');
        writeFileSync(page, runnable);
        const env = { ...process.env, LTI_ENCRYPTION_KEY: 'LTI_ENCRYPTION_KEY' };
        const bundler = pathToFileURL(join(here, 'bundler.mjs')).href;
        const args = [...(code.includes('@lti-tool') ? ['--import', bundler] : []), join(here, 'tool.mjs')];
        return toolProcess(process.execPath, [...args, page, mount.path], platform, {
          env,
          ...(asks ? { asks } : {}),
        });
      },
      { readsForEachToken },
    ).finally(() => rmSync(folder, { recursive: true }));
  };

  it('The tests run all code of the page', () => {
    // The first two in first-token.test.ts.
    const headings = ['Install', 'A first token', 'ltijs', 'jose', 'jsonwebtoken', '@lti-tool/core'];
    expect(headingsWithCode('node.md')).to.deep.equal(headings);
    expect(codeOf('node.md', 'jose')).to.have.length(2);
  });

  it('ltijs signs client assertions and deep-linking responses that the platform accepts, through three rotations', async () => {
    const [code = ''] = codeOf('node.md', 'ltijs');
    expect(await run(code, ['assertion', 'response'])).to.deep.equal({ accepted: 2 * tokens, refused: [] });
  });

  it('@lti-tool/core signs deep-linking responses that the platform accepts, through three rotations, and client assertions with the wrong audience alone', async () => {
    const [code = ''] = codeOf('node.md', '@lti-tool/core');
    const { accepted, refused } = await run(code, ['response', 'assertion']);
    expect(accepted).to.equal(tokens);
    expect(new Set(refused)).to.deep.equal(new Set(['unexpected "aud" claim value']));
  });

  for (const heading of ['jose', 'jsonwebtoken']) {
    it(`${heading}: the platform accepts every client assertion through three rotations`, async () => {
      for (const code of codeOf('node.md', heading)) {
        expect(await run(code)).to.deep.equal({ accepted: tokens, refused: [] });
      }
    });
  }
});

describe('The keys of ltijs', () => {
  const database = {
    Get: async (_: unknown, collection: string) =>
      collection === 'platform' && [
        { platformUrl: registration.issuer, clientId: registration.client_id, kid: 'generated' },
        { platformUrl: 'https://moodle.example.org', clientId: '7', kid: 'other' },
      ],
  } as unknown as LtijsDatabase;

  it('A delivered registration takes the place of the same platform in the database, and others stay', async () => {
    const [key] = await keyPairs;
    const mount = new Mount();
    mount.swap(files(key));
    const directory = await openKeyDirectory(mount.path);
    const platforms = await new DeliveredKeys(database, [directory]).Get(false, 'platform');
    expect((platforms || []).map(({ kid }) => kid)).to.deep.equal([key.keyID, 'other']);
    directory.close();
    mount.remove();
  });

  it('A platform that ltijs read before a rotation finds its key after it, but not after the next one', async () => {
    const keys = await keyPairs;
    const [first, second, third] = keys.map(({ keyID, privateKey, publicJWK }): Delivery => ({
      keyID,
      privateKey,
      jwk: publicJWK,
      jwks: [publicJWK],
      registration,
    }));
    let current = first!;
    const plugin = new DeliveredKeys(database, [{ path: '/lti/canvas', current: () => current }]);
    const privateKeys = async (): Promise<readonly unknown[]> => (await plugin.Get('key', 'privatekey')) || [];
    const ids = async (): Promise<readonly unknown[]> =>
      ((await plugin.Get('key', 'privatekey')) || []).map((row) => row['kid']);
    expect(await privateKeys()).to.have.length(1);
    current = second!;
    expect(await ids()).to.deep.equal([second!.keyID, first!.keyID]);
    current = third!;
    expect(await ids()).to.deep.equal([third!.keyID, second!.keyID]);
  });

  it('A registration without a key fails with the reason, and leaves the others in place', async () => {
    const error = new KeyDirectoryError(
      'NoSigningKey',
      '/lti/canvas/private.jwk',
      'the operator delivers no key',
      'wait',
    );
    const source = {
      path: '/lti/canvas',
      current: (): Delivery => {
        throw error;
      },
    };
    const plugin = new DeliveredKeys(database, [source]);
    expect(await plugin.Get(false, 'platform')).to.have.length(2);
    expect(await plugin.Get('key', 'privatekey').catch((thrown: unknown) => thrown)).to.equal(error);
  });
});
