import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { SignJWT } from 'jose';
import { openKeyDirectory, signClientAssertion } from '../../tool/typescript/src/tool-keys.ts';
import { audience, clientID, throughThreeRotations, tokens, tokensPerStep } from './rotation.ts';

/** The test of tools can fail. */
describe('The platform that the code of docs/tools meets', () => {
  it('The platform accepts the library for Node.js through three rotations', async () => {
    const outcome = await throughThreeRotations(async (mount, platform) => {
      const keys = await openKeyDirectory(mount.path);
      const sign = async () => void (await platform.takeClientAssertion(await signClientAssertion(keys)));
      return { sign, stop: () => keys.close() };
    });
    expect(outcome).to.deep.equal({ accepted: tokens, refused: [] });
  });

  it('The platform refuses a tool that reads its key once, as soon as that key is retired', async () => {
    const outcome = await throughThreeRotations(
      async (mount, platform) => {
        const keys = await openKeyDirectory(mount.path);
        const current = keys.current();
        keys.close();
        const once = { path: mount.path, current: () => current };
        return {
          sign: async () => void (await platform.takeClientAssertion(await signClientAssertion(once))),
          stop() {},
        };
      },
      { readsForEachToken: true },
    );
    expect(outcome.accepted).to.equal(3 * tokensPerStep);
    expect(outcome.refused).to.have.length(tokens - 3 * tokensPerStep);
    expect(new Set(outcome.refused)).to.deep.equal(new Set(['no applicable key found in the JSON Web Key Set']));
  });

  it('The platform refuses a token without kid, with another audience, and one that was used before', async () => {
    const outcome = await throughThreeRotations(async (mount, platform) => {
      const keys = await openKeyDirectory(mount.path);
      const sign = async (): Promise<void> => {
        const token = await signClientAssertion(keys);
        const claims = { iss: clientID, sub: clientID, aud: audience, jti: 'x' };
        const unnamed = new SignJWT(claims).setProtectedHeader({ alg: 'RS256' }).setIssuedAt().setExpirationTime('60s');
        await platform.takeClientAssertion(await unnamed.sign(keys.current().privateKey));
        await platform.takeClientAssertion(await signClientAssertion(keys, { audience: platform.tokenEndpoint }));
        await platform.takeClientAssertion(token);
        await platform.takeClientAssertion(token);
      };
      return { sign, stop: () => keys.close() };
    });
    expect(outcome.accepted).to.equal(tokens);
    expect(new Set(outcome.refused)).to.deep.equal(
      new Set(['it has no kid', 'unexpected "aud" claim value', 'jti is missing or was used before']),
    );
  });
});

describe('docs/tools/libraries.md', () => {
  it('The bold figures are those of these tests: all tokens, or twice as many where the tool also signs deep-linking responses', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/tools/libraries.md'), 'utf8');
    const bold = [...page.matchAll(/^\| (@?\w+).*$/gm)].flatMap(([row, library = '']) =>
      [...row.matchAll(/\*\*(\d+) of (\d+)\*\*/g)].map((figures) => ({
        library,
        figures: figures.slice(1).map(Number),
      })),
    );
    expect(bold.length).to.be.greaterThan(10);
    for (const { library, figures } of bold) {
      const all = ['ltijs', 'PyLTI1p3'].includes(library) ? 2 * tokens : tokens;
      expect(figures, library).to.deep.equal([all, all]);
    }
  });
});
