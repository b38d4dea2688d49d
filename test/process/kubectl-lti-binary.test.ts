import { execFile } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { version } from '../../src/version.ts';
import { buildIfStale } from '../fixtures/installed.ts';

const root = join(import.meta.dirname, '../..');
const binary = join(root, `dist/kubectl-lti-${process.platform}-${process.arch}`);
const run = promisify(execFile);

describe('The single executable of kubectl lti', () => {
  before(async () => {
    await buildIfStale();
    const built = statSync(join(root, 'dist/kubectl-lti.js')).mtimeMs;
    if (existsSync(binary) && statSync(binary).mtimeMs > built) return;
    await run(process.execPath, [join(root, 'dev/kubectl-lti-binary.ts')], { cwd: root });
  });

  it('kubectl-lti prints its version without Node in the PATH', async () => {
    const { stdout, stderr } = await run(binary, ['--version'], { env: {} });
    expect({ stdout, stderr }).to.deep.equal({ stdout: `${version}\n`, stderr: '' });
  });

  it('kubectl-lti reads the kubeconfig, and exits with 1 if there is no cluster', async () => {
    const failed = await run(binary, ['status', '--kubeconfig', '/does/not/exist'], { env: {} }).catch(
      (error: { readonly code: number; readonly stderr: string }) => error,
    );
    expect(failed).to.include({ code: 1 });
    expect(failed.stderr).to.include('Cannot read the kubeconfig /does/not/exist');
  });
});
