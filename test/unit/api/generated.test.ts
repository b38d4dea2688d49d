import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';

const root = join(import.meta.dirname, '../../..');

function generate(folder: string, ...options: readonly string[]): { status: number | null; stderr: string } {
  const script = join(folder, 'dev/generate/main.ts');
  const { status, stderr } = spawnSync(process.execPath, [script, ...options], { encoding: 'utf8' });
  return { status, stderr };
}

/** Runs `test` on a copy of the generator and the generated files. */
function onCopy(test: (folder: string) => void): void {
  const copy = mkdtempSync(join(tmpdir(), 'generated-'));
  try {
    for (const path of ['crds', 'src', 'dev/generate', 'dev/dashboards', 'deploy', 'docs', 'package.json']) {
      cpSync(join(root, path), join(copy, path), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    test(copy);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function edit(file: string, from: string, to: string): void {
  const text = readFileSync(file, 'utf8');
  expect(text).to.include(from);
  writeFileSync(file, text.replace(from, to));
}

describe('Generated files', () => {
  it('Generated files match what is committed', () => {
    expect(generate(root, '--check')).to.deep.equal({ status: 0, stderr: '' });
  });

  it('Generated files fail the check, with a message that says what to do, if a CRD changed without its types', () => {
    onCopy((copy) => {
      edit(join(copy, 'crds/ltikeys.yaml'), 'retiredAt:', 'leftAt:');
      expect(generate(copy, '--check')).to.deep.equal({
        status: 1,
        stderr:
          'src/api/ltikey.gen.ts does not match crds/ltikeys.yaml. Run `npm run generate` and commit the result.\n',
      });
    });
  });

  it('Generated files fail the check if a reason changed without its row in docs/conditions.md, until the next run', () => {
    onCopy((copy) => {
      edit(
        join(copy, 'src/api/reasons.ts'),
        'Every ready replica serves the signing key.',
        'Every replica | serves it.',
      );
      expect(generate(copy, '--check')).to.deep.equal({
        status: 1,
        stderr:
          'docs/conditions.md does not match src/api/reasons.ts and src/api/conditions.ts. Run `npm run generate` and commit the result.\n',
      });
      expect(generate(copy)).to.deep.equal({ status: 0, stderr: '' });
      expect(generate(copy, '--check')).to.deep.equal({ status: 0, stderr: '' });
      expect(readFileSync(join(copy, 'docs/conditions.md'), 'utf8')).to.include(
        String.raw`Every replica \| serves it.`,
      );
    });
  });
});
