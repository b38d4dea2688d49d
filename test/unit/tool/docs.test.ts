import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { privateJwk } from '../../../src/crypto/key-pair.ts';

describe('docs/tools/use-the-key.md', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/tools/use-the-key.md'), 'utf8');

  it('The code for jose signs a client assertion with the delivered key, its ID and the audience', async () => {
    const [, code = ''] = /```js\n([^`]*clientAssertion[\s\S]*?)```/.exec(page) ?? [];
    // Inside the repository, so that `jose` resolves.
    const directory = mkdtempSync(join(import.meta.dirname, 'page-'));
    try {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const registration = { client_id: 'tool-42', token_audience: 'https://api.brightspace.com/auth/token' };
      writeFileSync(join(directory, 'private.jwk'), JSON.stringify(privateJwk({ keyID: 'key-1', privateKey })));
      writeFileSync(join(directory, 'registration.json'), JSON.stringify(registration));
      writeFileSync(join(directory, 'snippet.mjs'), code);
      const { clientAssertion } = (await import(pathToFileURL(join(directory, 'snippet.mjs')).href)) as {
        clientAssertion: (directory: string) => Promise<string>;
      };
      const token = await clientAssertion(directory);
      expect(decodeProtectedHeader(token)).to.deep.equal({ alg: 'RS256', typ: 'JWT', kid: 'key-1' });
      const { payload } = await jwtVerify(token, publicKey, { audience: 'https://api.brightspace.com/auth/token' });
      expect(payload).to.include({ iss: 'tool-42', sub: 'tool-42' });
      expect(payload.jti).to.be.a('string');
      expect(Number(payload.exp) - Number(payload.iat)).to.equal(60);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
