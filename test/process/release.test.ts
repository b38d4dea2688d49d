import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { parseAllDocuments } from 'yaml';
import { helmProgram } from '../../dev/helm/build.ts';
import { nodeBinaries } from '../../dev/release/node-binaries.ts';
import { version } from '../../src/version.ts';

const root = join(import.meta.dirname, '../..');
const run = promisify(execFile);
const image = 'registry.example.org/keys/lti-key-operator';

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe('npm run release', () => {
  let folder: string;
  let ended: Ended;

  function release(name: string, more: readonly string[], umask: string): Promise<Ended> {
    const args = ['--allow-changes', `--arch=${process.arch}`, `--image=${image}`, `--output=${join(folder, name)}`];
    const command = `umask ${umask}; exec "$0" "$@"`;
    const env = { ...process.env, SOURCE_DATE_EPOCH: '1700000000' };
    const started = run(
      '/bin/sh',
      ['-c', command, process.execPath, join(root, 'dev/release/main.ts'), ...args, ...more],
      { cwd: folder, env },
    );
    return started.then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: Ended) => error,
    );
  }
  const read = (name: string): string => readFileSync(join(folder, 'one', name), 'utf8');

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'release-test-'));
    ended = await release('one', ['--without-image'], '022');
    expect(ended.code, ended.stderr).to.equal(0);
  });
  after(() => rmSync(folder, { recursive: true }));

  it('The checksums cover every file of the release', () => {
    const sums = read('SHA256SUMS').trim().split('\n');
    expect(sums.map((line) => line.slice(66))).to.deep.equal([
      'RELEASE_NOTES.md',
      'crds.yaml',
      `kubectl-lti-${version}-linux-${process.arch}.tar.gz`,
      `lti-key-operator-${version}.cdx.json`,
      `lti-key-operator-${version}.tgz`,
      `lti-key-operator-kustomize-${version}.tgz`,
      `lti-key-operator-npm-${version}.tgz`,
      'namespace.yaml',
      'operator-with-publishers.yaml',
      'operator.yaml',
    ]);
    for (const line of sums) {
      const content = readFileSync(join(folder, 'one', line.slice(66)));
      expect(createHash('sha256').update(content).digest('hex'), line).to.equal(line.slice(0, 64));
    }
  });

  it('Manifests and chart name the image of the release', async () => {
    const chart = join(folder, 'one', `lti-key-operator-${version}.tgz`);
    const { stdout } = await run(await helmProgram(), ['template', 'keys', chart]);
    for (const manifest of [stdout, read('operator.yaml'), read('operator-with-publishers.yaml')]) {
      const images = manifest.match(/(?<=image: )"?[^"\s]+/g) ?? [];
      expect(new Set(images.map((each) => each.replace('"', '')))).to.deep.equal(new Set([`${image}:${version}`]));
    }
  });

  it('The CRDs are a file of their own, and neither they nor the namespace are in the operator’s', () => {
    const kinds = (file: string): unknown[] => parseAllDocuments(read(file)).map((document) => document.get('kind'));
    expect(kinds('crds.yaml')).to.deep.equal(['CustomResourceDefinition', 'CustomResourceDefinition']);
    expect(kinds('namespace.yaml')).to.deep.equal(['Namespace']);
    expect(kinds('operator.yaml')).to.include('Deployment').and.not.include.members(['Namespace']);
    expect(kinds('operator.yaml')).not.to.include('CustomResourceDefinition');
  });

  it('The executable and the commands of the npm package print the version', async () => {
    const unpack = (file: string): Promise<unknown> =>
      run('tar', ['--extract', `--file=${join(folder, 'one', file)}`], { cwd: folder });
    await unpack(`kubectl-lti-${version}-linux-${process.arch}.tar.gz`);
    expect((await run(join(folder, 'kubectl-lti'), ['--version'])).stdout).to.equal(`${version}\n`);
    await unpack(`lti-key-operator-npm-${version}.tgz`);
    const { bin } = JSON.parse(readFileSync(join(folder, 'package/package.json'), 'utf8')) as {
      bin: Record<string, string>;
    };
    expect(Object.keys(bin)).to.deep.equal(['lti-key-operator', 'kubectl-lti']);
    const plugin = join(folder, 'package', bin['kubectl-lti'] ?? '');
    expect((await run(process.execPath, [plugin, '--version'])).stdout).to.equal(`${version}\n`);
  });

  it('The SBOM lists the packages in the bundle with their checksums, and no tool of development', () => {
    const sbom = JSON.parse(read(`lti-key-operator-${version}.cdx.json`)) as {
      metadata: { timestamp: string; component: { name: string } };
      components: readonly { name: string; purl: string; hashes: readonly object[] }[];
    };
    const names = sbom.components.map(({ name }) => name);
    expect(names).to.include.members(['jose', 'undici', 'express', 'pino', 'commander', 'yaml']);
    expect(names).not.to.include.members(['esbuild', 'mocha']);
    expect(sbom.components.filter(({ hashes }) => hashes.length === 0)).to.deep.equal([]);
    expect(sbom.metadata).to.deep.include({ timestamp: '2023-11-14T22:13:20.000Z' });
  });

  describe('A second run', () => {
    let second: Ended;
    before(async () => {
      second = await release('two', [], '077');
    });

    it('A second run gives the same bytes, whatever time it is and whichever umask there is', () => {
      expect(readFileSync(join(folder, 'two/SHA256SUMS'), 'utf8')).to.equal(read('SHA256SUMS'));
    });

    it('A run that lacks the image says so and exits with 3', () => {
      const leftOut = /^LEFT OUT\. .*$/m.exec(second.stderr)?.[0];
      expect({ code: second.code, leftOut }).to.deep.equal({
        code: 3,
        leftOut: 'LEFT OUT. The image: name its base images with --node-image and --runtime-image.',
      });
    });
  });

  it('A folder that is no release is not replaced', async () => {
    const { code, stderr } = await release('.', ['--without-image'], '022');
    expect(code).to.equal(1);
    expect(stderr).to.include('exists and is no release');
  });

  it('The pinned Node is that of package.json', () => {
    expect(`v${nodeBinaries.version}`).to.equal(process.version);
  });
});
