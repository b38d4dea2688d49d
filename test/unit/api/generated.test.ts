import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';

const root = join(import.meta.dirname, '../../..');

function check(folder: string): { status: number | null; stderr: string } {
  const script = join(folder, 'dev/generate-types.ts');
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
  return { status, stderr };
}

describe('The types generated from the CRDs', () => {
  it('are those that are committed', () => {
    expect(check(root)).to.deep.equal({ status: 0, stderr: '' });
  });

  it('are missed, with a sentence that says what to do, when a CRD changed without them', () => {
    const copy = mkdtempSync(join(tmpdir(), 'generated-'));
    try {
      for (const path of ['crds', 'src/api', 'dev/generate-types.ts', 'package.json']) {
        cpSync(join(root, path), join(copy, path), { recursive: true });
      }
      symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
      const crd = join(copy, 'crds/ltikeys.yaml');
      writeFileSync(crd, readFileSync(crd, 'utf8').replace('retiredAt:', 'leftAt:'));
      expect(check(copy)).to.deep.equal({
        status: 1,
        stderr:
          'src/api/ltikey.gen.ts does not match crds/ltikeys.yaml. Run `npm run generate` and commit the result.\n',
      });
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  });
});
