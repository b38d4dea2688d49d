import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { runCli } from '../../../src/cli/program.ts';
import { rsaThumbprint } from '../../../src/lib/thumbprint.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';

describe('kubectl lti import', () => {
  const folder = mkdtempSync(join(tmpdir(), 'import-'));
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const privateJwk = privateKey.export({ format: 'jwk' });
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
  const thumbprint = rsaThumbprint({ n, e });

  after(() => rmSync(folder, { recursive: true }));

  function file(name: string, content: string): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }

  async function run(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
    const terminal = fakeTerminal();
    const code = await runCli(['import', ...args, '--registration', 'canvas', '-n', 'gradebook'], terminal);
    return { code, out: terminal.output(), err: terminal.errors() };
  }

  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();

  it('import prints the size, the thumbprint, the commands and the manifest, and no private part of the key', async () => {
    const { code, out, err } = await run(file("teacher's key.pem", pem));
    expect({ code, err }).to.deep.equal({ code: 0, err: '' });
    expect(out).to.include('RSA with 2048 bits').and.include(`Key ID:      ${thumbprint} (the thumbprint)`);
    expect(out).to.include(String.raw`--from-file=private.pem='${folder}/teacher'\''s key.pem'`);
    expect(out).to.include('ltikeys.dev/import-granted-to=canvas').and.not.include('Warning');
    for (const part of [privateJwk.d!, privateJwk.p!, privateJwk.q!, pem.split('\n')[1]!]) {
      expect(out).not.to.include(part);
    }
  });

  it('import warns if the key ID is not the thumbprint, and puts it into the manifest', async () => {
    const { code, out } = await run(file('private.pem', pem), '--key-id', 'tool-2019');
    expect(code).to.equal(0);
    expect(out).to.include('Warning: the key ID tool-2019 is not the thumbprint').and.include('PyLTI1p3');
    const [, manifest = ''] = /\n( {3}spec:\n(?: {3}.*\n)+)/.exec(out) ?? [];
    expect(parse(manifest)).to.deep.equal({ spec: { import: { secretName: 'canvas-old-key', keyID: 'tool-2019' } } });
  });

  for (const [option, value] of [
    ['--registration', 'Canvas 2'],
    ['--registration', 'canvas.'],
    ['--namespace', 'grade_book'],
  ] as const) {
    it(`import refuses ${option} ${JSON.stringify(value)}, because its commands would not work`, async () => {
      const terminal = fakeTerminal();
      const args = ['import', file('private.pem', pem), '--registration', 'canvas', option, value];
      expect(await runCli(args, terminal)).to.equal(2);
      expect(terminal.output()).to.equal('');
      expect(terminal.errors()).to.equal(
        `error: ${option}: "${value}" is not a name of Kubernetes: use at most 63 lower-case letters, digits, - and ., with a letter or digit at each end\n`,
      );
    });
  }

  it('import takes the key ID of a private JWK, and prints JSON for programs', async () => {
    const { code, out } = await run(file('key.json', JSON.stringify({ ...privateJwk, kid: 'tool-1' })), '-o', 'json');
    expect(code).to.equal(0);
    const report = JSON.parse(out) as Record<string, unknown>;
    expect(report).to.include({ size: 2048, thumbprint, keyID: 'tool-1' });
    expect(report['warnings']).to.have.length(2);
    expect(out).not.to.include(privateJwk.d!);
  });

  for (const [what, content, said, options] of [
    ['an empty file', '', 'it is empty'],
    ['a truncated file', pem.slice(0, 900), 'it was truncated'],
    ['a key of 1024 bits', generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey, 'it has 1024 bits'],
    [
      'another key ID than that of the JWK',
      JSON.stringify({ ...privateJwk, kid: 'tool-1' }),
      'its member kid is tool-1, but --key-id is tool-2',
      ['--key-id', 'tool-2'],
    ],
  ] as const) {
    it(`import exits with 3 and the reason for ${what}`, async () => {
      const text = typeof content === 'string' ? content : content.export({ format: 'pem', type: 'pkcs8' }).toString();
      const { code, out, err } = await run(file('bad.pem', text), ...(options ?? []));
      expect({ code, out }).to.deep.equal({ code: 3, out: '' });
      expect(err).to.include('bad.pem cannot be imported: ').and.include(said);
    });
  }

  it('import exits with 1 for a file that it cannot read', async () => {
    const { code, err } = await run(join(folder, 'none.pem'));
    expect(code).to.equal(1);
    expect(err).to.equal(
      `error: ${folder}/none.pem cannot be read (ENOENT): give the path of a private key, or - for standard input\n`,
    );
  });
});
