import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kubeconfigVariable } from '../../dev/control-plane/existing.ts';
import { parseOptions, UsageError } from '../../dev/demo/options.ts';

const demo = join(import.meta.dirname, '../../dev/demo/main.ts');

interface Result {
  readonly signed: number;
  readonly verified: number;
  readonly rejected: number;
  readonly keys: readonly { readonly name: string; readonly keyID: string; readonly state: string }[];
}

/** The demo has a control plane of its own: the policy it installs would be in the way of other tests. */
function runDemo(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [demo, ...args], {
      env: { ...process.env, [kubeconfigVariable]: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output: Buffer.concat(chunks).toString() }));
  });
}

describe('demo', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'demo-test-'));
  });

  after(() => rm(folder, { recursive: true }));

  it('The demo rotates a key while every token verifies, and shows each key published before it signs', async () => {
    const file = join(folder, 'rotation.json');
    const { code, output } = await runDemo(['--json', file]);

    expect(code, output).to.equal(0);
    const result: Result = JSON.parse(await readFile(file, 'utf8'));
    expect(result.rejected, output).to.equal(0);
    expect(result.verified).to.equal(result.signed);
    // About 35 seconds go by between the first signature and the retirement.
    expect(result.signed).to.be.greaterThan(15);
    expect(result.keys.slice(0, 2).map(({ name, state }) => `${name} ${state}`)).to.deep.equal([
      'canvas-1 Retired',
      'canvas-2 Active',
    ]);
    expect(new Set(result.keys.map(({ keyID }) => keyID)).size).to.equal(result.keys.length);
    const published = /canvas-2 was in the JWKS for ([\d.]+) s before its first signature/.exec(output)?.[1];
    expect(Number(published), output).to.be.greaterThan(5);
    const overlapped = /canvas-1 stayed in the JWKS for ([\d.]+) s after its last signature/.exec(output)?.[1];
    expect(Number(overlapped), output).to.be.greaterThan(7);
    expect(output).to.match(/^tokens rejected +0$/m);
    expect(output)
      .not.to.contain('PRIVATE KEY')
      .and.not.to.match(/"(d|p|q|dp|dq|qi)"/);
  });

  it('The demo exits with code 2 and one sentence if an option is unknown', async () => {
    const message = '--fast is not an option of the demo. Its options are --story, --json and --keep.';
    expect(await runDemo(['--fast'])).to.deep.equal({ code: 2, output: `${message}\n` });
  });

  const refused: readonly { args: readonly string[]; env?: NodeJS.ProcessEnv; message: string }[] = [
    {
      args: ['rotation'],
      message: 'rotation is not an option of the demo. Its options are --story, --json and --keep.',
    },
    {
      args: ['--story', 'wedding'],
      message: 'There is no story "wedding": choose rotation, revoke, kek-rotation or restore.',
    },
    { args: ['--keep=1'], message: '--keep takes no value.' },
    { args: ['--json'], message: '--json needs a value.' },
    {
      args: ['--json', '/nowhere/at/all.json'],
      message: '--json /nowhere/at/all.json cannot be written: the folder /nowhere/at does not exist.',
    },
    { args: ['--json', tmpdir()], message: `--json ${tmpdir()} is a folder: name a file.` },
    {
      args: [],
      env: { [kubeconfigVariable]: '/some/kubeconfig' },
      message: `The demo runs on a control plane of its own, never on a cluster: unset ${kubeconfigVariable}.`,
    },
  ];
  for (const { args, env = {}, message } of refused) {
    it(`The demo refuses ${args.join(' ') || kubeconfigVariable}`, () => {
      expect(() => parseOptions(args, env)).to.throw(UsageError, message);
    });
  }
});
