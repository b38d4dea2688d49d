import { expect } from 'chai';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compareVersions, kubernetesModules, readModules } from '../../../../dev/control-plane/modules.ts';

const root = join(import.meta.dirname, '../../../../dev/control-plane');

describe('the modules of the control plane', () => {
  let copy: string;
  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), 'modules-'));
    for (const module of ['kubernetes', 'etcd']) cpSync(join(root, module), join(copy, module), { recursive: true });
  });
  afterEach(() => rmSync(copy, { recursive: true }));

  it('The control-plane module stamps the servers with the version that go.mod requires', () => {
    const { plans } = readModules(copy);
    const { version, ldflags } = plans['kube-apiserver'];
    const [major, minor] = version.slice(1).split('.');
    expect(version).to.match(/^v1\.\d+\.\d+$/);
    expect(ldflags.split(' -X k8s.io/component-base/version.')).to.deep.equal([
      '-s -w',
      `gitVersion=${version}`,
      `gitMajor=${major}`,
      `gitMinor=${minor}`,
      'gitTreeState=clean',
    ]);
    expect(plans.etcd.version).to.match(/^v3\.\d+\.\d+$/);
  });

  it('The control-plane module has the same fingerprint for the same files, wherever they are', () => {
    expect(readModules(copy).fingerprint).to.equal(readModules(root).fingerprint);
  });

  for (const file of ['kubernetes/go.mod', 'kubernetes/go.sum', 'etcd/go.mod', 'etcd/go.sum']) {
    it(`The control-plane module has another fingerprint when ${file} changes`, () => {
      appendFileSync(join(copy, file), '\n// changed\n');
      expect(readModules(copy).fingerprint).not.to.equal(readModules(root).fingerprint);
    });
  }

  it('The module of an older Kubernetes builds its own servers into its own cache', () => {
    const [oldest, newest] = kubernetesModules.map((module) => readModules(root, module));
    expect(oldest?.plans['kube-apiserver'].version).to.match(/^v1\.32\.\d+$/);
    expect(oldest?.fingerprint).to.not.equal(newest?.fingerprint);
    expect(newest?.fingerprint).to.equal(readModules(root).fingerprint);
  });

  it('The control-plane module needs the newest Go that one of its modules asks for', () => {
    const goMod = join(copy, 'etcd/go.mod');
    writeFileSync(goMod, readFileSync(goMod, 'utf8').replace(/^go .*$/m, 'go 1.99.1'));
    expect(readModules(copy).goVersion).to.equal('1.99.1');
  });
});

describe('compareVersions', () => {
  const table: readonly [string, string, number][] = [
    ['1.9', '1.26.0', -1],
    ['1.26.0', '1.26', 0],
    ['1.26.8', '1.26.0', 1],
    ['1.27rc1', '1.26.8', 1],
    ['2.0', '1.99.99', 1],
  ];
  for (const [a, b, sign] of table) {
    it(`compareVersions finds ${a} ${['older than', 'equal to', 'newer than'][sign + 1]} ${b}`, () => {
      expect(Math.sign(compareVersions(a, b))).to.equal(sign);
    });
  }
});
