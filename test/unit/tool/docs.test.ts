import { execFileSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { parse } from 'yaml';
import type { LtiRegistration } from '../../../src/api/objects.ts';
import { encryptFor, readRecipient, type Recipient } from '../../../src/controller/secrets/recipient.ts';
import { formatDuration } from '../../../src/domain/duration.ts';
import { defaultMinimumOverlap, minimumActivationDelay } from '../../../src/domain/timing.ts';
import type { KeyDirectory } from '../../../tool/typescript/src/tool-keys.ts';
import { files, keyPairs, Mount, registration } from '../../fixtures/mount.ts';

const root = join(import.meta.dirname, '../../..');

describe('docs/tools/use-the-key.md', () => {
  const page = readFileSync(join(root, 'docs/tools/use-the-key.md'), 'utf8');
  const snippets = [...page.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code = '']) => code);

  it('The page describes the members of registration.json that the operator writes, and no other', () => {
    const source = readFileSync(join(root, 'src/domain/delivery-files.ts'), 'utf8');
    const [, entry = ''] = /function registrationEntry[^{]*\{[^{]*\{\n([\s\S]*?)\};/.exec(source) ?? [];
    const written = [...entry.matchAll(/^\s+(\w+):/gm)].map(([, member]) => member);
    const [, table = ''] = /\n## registration\.json\n([\s\S]*?)\nNames of the same values/.exec(page) ?? [];
    const described = [...table.matchAll(/^\| `(\w+)`/gm)].map(([, member]) => member);
    expect(written).to.include('issuer');
    expect(described).to.deep.equal(written);
  });

  it('The registration of the rehearsal has the shortest times that the operator allows by default', () => {
    const blocks = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(
      ([, text = '']) => parse(text) as { metadata?: { name: string } },
    );
    const rehearsal = blocks.find(({ metadata }) => metadata?.name === 'canvas-rehearsal') as {
      spec: Record<string, unknown>;
    };
    const { activationDelay, overlap } = rehearsal.spec;
    expect({ activationDelay, overlap }).to.deep.equal({
      activationDelay: formatDuration(minimumActivationDelay({ minimumOverlap: defaultMinimumOverlap }, 0)),
      overlap: formatDuration(defaultMinimumOverlap),
    });
  });

  it('The code for a bundle signs a client assertion for the registration with this issuer and client ID', async () => {
    const [, code = ''] = /```ts\n(const bundle =[\s\S]*?)```/.exec(page) ?? [];
    const [key] = await keyPairs;
    const mount = new Mount();
    const directory = mkdtempSync(join(import.meta.dirname, 'page-'));
    try {
      mount.swap(Object.fromEntries(Object.entries(files(key)).map(([name, text]) => [`canvas.${name}`, text])));
      const source = pathToFileURL(join(root, 'tool/typescript/src/tool-keys.ts')).href;
      const head = `import { openKeyBundle, signClientAssertion } from '${source}';\n`;
      writeFileSync(join(directory, 'snippet.mts'), head + code.replace('/lti/keys', mount.path));
      const { clientAssertion } = (await import(pathToFileURL(join(directory, 'snippet.mts')).href)) as {
        clientAssertion: (issuer: string, clientID: string) => Promise<string>;
      };
      const token = await clientAssertion(registration.issuer, registration.client_id);
      expect(decodeProtectedHeader(token)).to.include({ kid: key.keyID });
      await jwtVerify(token, createPublicKey(key.privateKey), { audience: registration.token_audience });
    } finally {
      rmSync(directory, { recursive: true });
      mount.remove();
    }
  });

  it('With the key pair, the registration and the code of "Encrypt the key", a tool signs with the encrypted key', async () => {
    const [, section = ''] = /\n## Encrypt the key\n([\s\S]*?)\n## /.exec(page) ?? [];
    const code = (language: string): string =>
      new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(section)?.[1] ?? '';
    const [key] = await keyPairs;
    const mount = new Mount();
    const directory = mkdtempSync(join(import.meta.dirname, 'page-'));
    try {
      const printed = execFileSync('sh', ['-euc', code('sh')], { cwd: directory, encoding: 'utf8', stdio: 'pipe' });
      const written = parse(code('yaml')) as LtiRegistration;
      const delivery = written.spec.delivery!;
      const asWritten = await readRecipient(written);
      expect(asWritten).to.have.property('thumbprint');
      // What the page prints is what its registration has, but for the key itself.
      const { alg, ...shape } = delivery.recipient!;
      const jwk = JSON.parse(printed) as typeof shape;
      expect({ ...jwk, x: shape.x }).to.deep.equal(shape);
      const spec = { ...written.spec, delivery: { ...delivery, recipient: { ...jwk, alg } } };
      const recipient = (await readRecipient({ ...written, spec })) as Recipient;
      const { 'private.jwk': clear = '', 'private.pem': _, ...others } = files(key);
      mount.swap({ ...others, 'private.jwe': await encryptFor(recipient, clear) });
      const source = pathToFileURL(join(root, 'tool/typescript/src/tool-keys.ts')).href;
      const runnable = code('ts')
        .replace('@lti-key-operator/tool-keys', source)
        .replace('/lti/canvas', mount.path)
        .replace('/recipient/', `${directory}/`);
      writeFileSync(join(directory, 'encrypted.mts'), runnable);
      const { clientAssertion, keys } = (await import(pathToFileURL(join(directory, 'encrypted.mts')).href)) as {
        clientAssertion: () => Promise<string>;
        keys: KeyDirectory;
      };
      const token = await clientAssertion();
      keys.close();
      await jwtVerify(token, createPublicKey(key.privateKey), {
        audience: registration.token_audience,
      });
    } finally {
      rmSync(directory, { recursive: true });
      mount.remove();
    }
  });

  for (const library of ['@lti-key-operator/tool-keys', 'jose'] as const) {
    it(`The code for ${library} signs a client assertion with the delivered key, its ID and the audience`, async () => {
      const [code = ''] = snippets.filter((text) => text.includes(`from '${library}'`));
      const [key] = await keyPairs;
      const mount = new Mount();
      // Inside the repository, so that `jose` resolves.
      const directory = mkdtempSync(join(import.meta.dirname, 'page-'));
      try {
        mount.swap(files(key));
        const source = pathToFileURL(join(root, 'tool/typescript/src/tool-keys.ts')).href;
        const runnable = code.replace('@lti-key-operator/tool-keys', source).replace('/lti/canvas', mount.path);
        writeFileSync(join(directory, 'snippet.mjs'), runnable);
        const { clientAssertion, keys } = (await import(pathToFileURL(join(directory, 'snippet.mjs')).href)) as {
          clientAssertion: (directory: string) => Promise<string>;
          keys?: KeyDirectory;
        };
        const token = await clientAssertion(mount.path);
        keys?.close();
        expect(decodeProtectedHeader(token)).to.deep.equal({ alg: 'RS256', typ: 'JWT', kid: key.keyID });
        const { payload } = await jwtVerify(token, createPublicKey(key.privateKey), {
          audience: registration.token_audience,
        });
        expect(payload).to.include({ iss: registration.client_id, sub: registration.client_id });
        expect(payload.jti).to.be.a('string');
        expect(Number(payload.exp) - Number(payload.iat)).to.equal(60);
      } finally {
        rmSync(directory, { recursive: true });
        mount.remove();
      }
    });
  }
});

describe('tool/typescript/README.md', () => {
  it('The table of error codes has each code and no other', () => {
    const readme = readFileSync(join(root, 'tool/typescript/README.md'), 'utf8');
    const source = readFileSync(join(root, 'tool/typescript/src/errors.ts'), 'utf8');
    const codes = [...source.matchAll(/^ {2}\| '(\w+)'/gm)].map(([, code]) => code);
    expect(codes).to.include('FilesDisagree');
    expect([...readme.matchAll(/^\| `([A-Z]\w+)`/gm)].map(([, code]) => code)).to.deep.equal(codes);
  });
});
