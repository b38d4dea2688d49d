import { spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { encryptFor } from '../../../src/controller/secrets/recipient.ts';
import { files, keyPairs, Mount, registration } from '../../fixtures/mount.ts';

const root = join(import.meta.dirname, '../../..');
const library = join(root, 'tool/python');

function python(
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): { readonly status: number | null; readonly output: string } {
  const env = { ...process.env, PYTHONPATH: join(library, 'src'), ...variables };
  // -B: no bytecode in the source tree.
  const { status, stdout, stderr } = spawnSync('python3', ['-B', ...args], { cwd: library, env, encoding: 'utf8' });
  return { status, output: `${stdout}${stderr}` };
}

const isInstalled = python(['-c', 'import sys, cryptography; assert sys.version_info >= (3, 10)']).status === 0;
if (!isInstalled) {
  console.log(
    'The tests of tool/python are left out, because python3 (3.10 or newer) with cryptography is not installed.',
  );
}

if (isInstalled) {
  describe('The Python library for tools', () => {
    let mount: Mount;
    beforeEach(() => {
      mount = new Mount();
    });
    afterEach(() => {
      mount.remove();
    });

    it('The tests in Python pass', () => {
      const { status, output } = python(['-m', 'unittest', 'discover', '--start-directory', 'tests']);
      expect(status, output).to.equal(0);
    }).timeout(120_000);

    it('The code of docs/tools/use-the-key.md signs a client assertion that verifies', async () => {
      const page = readFileSync(join(root, 'docs/tools/use-the-key.md'), 'utf8');
      const [, code = ''] = /```python\n([\s\S]*?)```/.exec(page) ?? [];
      const [key] = await keyPairs;
      mount.swap(files(key));
      const runnable = `${code.replace('/lti/canvas', mount.path)}\nprint(client_assertion(), end="")`;
      const { status, output } = python(['-c', runnable]);
      expect(status, output).to.equal(0);
      expect(decodeProtectedHeader(output)).to.deep.equal({ alg: 'RS256', typ: 'JWT', kid: key.keyID });
      const { payload } = await jwtVerify(output, createPublicKey(key.privateKey), {
        audience: registration.token_audience,
      });
      expect(payload).to.include({ iss: registration.client_id, sub: registration.client_id });
    });

    const recipients = [
      ['RSA-OAEP-256', 'RSA', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
      ['ECDH-ES', 'P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
      ['ECDH-ES+A256KW', 'P-521', () => generateKeyPairSync('ec', { namedCurve: 'P-521' })],
      ['ECDH-ES+A256KW', 'X25519', () => generateKeyPairSync('x25519')],
    ] as const;
    const open = `
import os
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lti_tool_keys import KeyDirectoryError, open_key_directory
try:
    key = load_pem_private_key(os.environ["RECIPIENT"].encode(), None)
    print(open_key_directory(os.environ["MOUNT"], recipient_key=key).current().key_id, end="")
except KeyDirectoryError as error:
    print(error.code, end="")
`;
    for (const [alg, kind, generate] of recipients) {
      it(`A recipient with ${alg} and ${kind} opens what the operator encrypted, and another one gets a typed error`, async () => {
        const [key] = await keyPairs;
        const { 'private.jwk': jwk = '', 'private.pem': _, ...others } = files(key);
        const { publicKey, privateKey } = generate();
        const recipient = { jwk: { alg }, key: publicKey as object, thumbprint: '' };
        mount.swap({ ...others, 'private.jwe': await encryptFor(recipient as Parameters<typeof encryptFor>[0], jwk) });
        const opened = [privateKey, generate().privateKey].map((each) => {
          const pem = each.export({ format: 'pem', type: 'pkcs8' }).toString();
          return python(['-c', open], { RECIPIENT: pem, MOUNT: mount.path }).output;
        });
        expect(opened).to.deep.equal([key.keyID, 'RecipientMismatch']);
      });
    }
  });
}
