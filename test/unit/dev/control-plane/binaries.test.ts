import { expect } from 'chai';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPrograms } from '../../../../dev/control-plane/binaries.ts';
import { programs, readModules } from '../../../../dev/control-plane/modules.ts';

/** Notes the package that is built, and writes a program. */
const recordingBuild = 'for last; do :; done; echo "$last" >> "$0.built"; echo built > "$6"; /bin/chmod 755 "$6"';

describe('The search for the programs of the control plane', () => {
  let folder: string;
  let cache: string;
  let assets: string;
  let path: string;
  let environment: NodeJS.ProcessEnv;
  let reported: string[];
  const report = (line: string): void => void reported.push(line.replaceAll(cache, '<cache>'));

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'binaries-'));
    cache = join(folder, 'lti-key-operator/control-plane', readModules().fingerprint);
    assets = join(folder, 'assets');
    path = join(folder, 'path');
    for (const each of [cache, assets, path]) mkdirSync(each, { recursive: true });
    reported = [];
    environment = { XDG_CACHE_HOME: folder, PATH: path };
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** A `go` that says it is `version` and "builds" by writing the file that follows -o, noting what it built. */
  function fakeGo(version: string, build = recordingBuild): void {
    script(join(path, 'go'), `[ "$1" = env ] && echo ${version} && exit 0\n${build}`);
  }

  it('The search takes what is in KUBEBUILDER_ASSETS before the cache, and the rest from the cache', async () => {
    put(assets, 'etcd', 'kube-apiserver');
    put(cache, ...programs);
    expect(await findPrograms(programs, { environment: { ...environment, KUBEBUILDER_ASSETS: assets } })).to.deep.equal(
      {
        etcd: join(assets, 'etcd'),
        'kube-apiserver': join(assets, 'kube-apiserver'),
        'kube-controller-manager': join(cache, 'kube-controller-manager'),
        kubectl: join(cache, 'kubectl'),
      },
    );
  });

  it('The search says which server KUBEBUILDER_ASSETS lacks and what to do', async () => {
    put(assets, 'etcd');
    put(cache, ...programs);
    expect(
      await failure(findPrograms(['etcd'], { environment: { ...environment, KUBEBUILDER_ASSETS: assets } })),
    ).to.equal(
      `KUBEBUILDER_ASSETS is ${assets}, which has no executable kube-apiserver: ` +
        'set it to a folder that holds both, or unset it to have them built with Go.',
    );
  });

  it('The search takes kubectl from the PATH beside servers that are not built', async () => {
    put(assets, 'etcd', 'kube-apiserver');
    put(path, 'kubectl');
    const withAssets = await findPrograms(['kubectl'], { environment: { ...environment, KUBEBUILDER_ASSETS: assets } });
    const withKubeconfig = await findPrograms(['kubectl'], { environment, serversAreOurs: false });
    expect([withAssets.kubectl, withKubeconfig.kubectl]).to.deep.equal([join(path, 'kubectl'), join(path, 'kubectl')]);
  });

  it('The search builds what is missing, kubectl too when only the PATH has one', async () => {
    put(cache, 'etcd');
    put(path, 'kubectl');
    fakeGo('go9.99.0');
    const found = await findPrograms(['etcd', 'kubectl'], { environment, report });
    expect(found.kubectl).to.equal(join(cache, 'kubectl'));
    expect(builtPackages()).to.deep.equal(['k8s.io/kubernetes/cmd/kubectl']);
    expect(reported[0]).to.equal('building kubectl into <cache> (once; takes minutes on a cold machine)');
    expect(reported[1]).to.match(/^1 of 1: built kubectl v[.\d]+ in \d+ s$/);
  });

  it('The search builds each program once when two runs need it', async () => {
    const waited = join(path, 'waited');
    // The first build ends when the second run waits for it, however slow the machine is.
    const untilWaited = `n=0; until [ -e ${waited} ] || [ $n = 300 ]; do /bin/sleep 0.1; n=$((n + 1)); done`;
    fakeGo('go9.99.0', `${untilWaited}; ${recordingBuild}`);
    const noting = (line: string): void => {
      report(line);
      if (line.includes('waiting for it')) writeFileSync(waited, '');
    };
    await Promise.all([
      findPrograms(['etcd'], { environment, report: noting }),
      findPrograms(['etcd'], { environment, report: noting }),
    ]);
    expect(builtPackages()).to.deep.equal(['go.etcd.io/etcd/server/v3']);
    expect(reported).to.include(`another run (process ${process.pid}) is building into <cache>; waiting for it`);
  });

  it('The search shows the end of the output of a build that failed, and leaves no program and no lock behind', async () => {
    fakeGo('go9.99.0', 'echo "no such module" >&2; exit 1');
    const message = await failure(findPrograms(['etcd'], { environment, report }));
    expect(message).to.match(
      /^go build go\.etcd\.io\/etcd\/server\/v3 in .* ended with 1; the end of .*:\nno such module$/,
    );
    expect([existsSync(join(cache, 'etcd')), existsSync(join(cache, 'build.lock'))]).to.deep.equal([false, false]);
  });

  const remedy =
    /: install Go \d+\.\d+\.\d+ or newer .* on the PATH, or set KUBEBUILDER_ASSETS to a folder with etcd .*\.$/;
  const goTable: readonly [string, () => void, RegExp][] = [
    ['there is no Go', () => undefined, /^Building the control plane needs Go, and there is no `go`: install/],
    [
      'Go is too old',
      () => fakeGo('go1.20.3'),
      /^Building the control plane needs a newer Go than the 1\.20\.3 on the PATH:/,
    ],
    [
      'Go refuses the module',
      () => script(join(path, 'go'), 'echo "go: go.mod requires go >= 1.26.0" >&2; exit 1'),
      /^Building .* needs Go, and `go env GOVERSION` failed \(go: go\.mod requires go >= 1\.26\.0\): install/,
    ],
  ];
  for (const [situation, arrange, sentence] of goTable) {
    it(`The search says what to install or set, in one sentence, when ${situation}`, async () => {
      arrange();
      const message = await failure(findPrograms(['etcd'], { environment, report }));
      expect(message).to.match(sentence);
      expect(message).to.match(remedy);
      expect(message).not.to.contain('\n');
    });
  }

  function builtPackages(): string[] {
    return readFileSync(join(path, 'go.built'), 'utf8').trim().split('\n');
  }
});

function script(file: string, body: string): void {
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
}

async function failure(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => String(error instanceof Error ? error.message : error),
  );
}

function put(where: string, ...names: string[]): void {
  for (const name of names) script(join(where, name), 'exit 0');
}
