import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Credentials, loadKubeConfig } from '../../../src/kube/credentials.ts';

interface Entries {
  readonly clusters?: Readonly<Record<string, object>>;
  readonly users?: Readonly<Record<string, object>>;
  readonly contexts?: Readonly<Record<string, object>>;
  readonly current?: string;
}

describe('The kubeconfig files that KUBECONFIG names', () => {
  let folder = '';
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'kubeconfig-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  function write(file: string, { clusters = {}, users = {}, contexts = {}, current }: Entries): string {
    const named = (entries: Readonly<Record<string, object>>, member: string) =>
      Object.entries(entries).map(([name, value]) => ({ name, [member]: value }));
    const path = join(folder, file);
    const content = {
      clusters: named(clusters, 'cluster'),
      users: named(users, 'user'),
      contexts: named(contexts, 'context'),
      ...(current === undefined ? {} : { 'current-context': current }),
    };
    writeFileSync(path, JSON.stringify(content));
    return path;
  }
  const here = { cluster: 'here', user: 'me' };
  const access = (...files: readonly string[]) => new Credentials(() => loadKubeConfig(files)).access();

  it('KUBECONFIG files are merged: the cluster, the user and the context may be in different files', async () => {
    const clusters = write('clusters', { clusters: { here: { server: 'https://here' } } });
    const users = write('users', { users: { me: { token: 'mine' } } });
    const contexts = write('contexts', { contexts: { c: here }, current: 'c' });
    const { server, headers } = await access(clusters, users, contexts);
    expect({ server, headers }).to.deep.equal({ server: 'https://here', headers: { authorization: 'Bearer mine' } });
  });

  it('The first KUBECONFIG file with an entry of a name wins', async () => {
    const first = write('first', {
      clusters: { here: { server: 'https://first' } },
      contexts: { c: here },
      current: 'c',
    });
    const second = write('second', {
      clusters: { here: { server: 'https://second' }, other: { server: 'https://other' } },
      users: { me: { token: 'second' } },
      contexts: { c: { cluster: 'other', user: 'me' }, d: { cluster: 'other', user: 'me' } },
      current: 'd',
    });
    const third = write('third', { users: { me: { token: 'third' } } });
    const merged = await access(first, second, third);
    expect(merged.server).to.equal('https://first');
    expect(merged.headers['authorization']).to.equal('Bearer second');
    expect((await access(second, first)).server).to.equal('https://other');
  });

  it('KUBECONFIG files may be missing if one exists', async () => {
    const one = write('one', {
      clusters: { here: { server: 'https://here' } },
      users: { me: { token: 'mine' } },
      contexts: { c: here },
      current: 'c',
    });
    for (const files of [
      [join(folder, 'missing'), one],
      [one, join(folder, 'missing')],
      [one, one],
    ]) {
      // oxlint-disable-next-line no-await-in-loop
      expect((await access(...files)).server).to.equal('https://here');
    }
  });

  it('The error names the first KUBECONFIG file if all are missing', () => {
    const missing = [join(folder, 'a'), join(folder, 'b')];
    expect(() => loadKubeConfig(missing)).to.throw(
      `Cannot read the kubeconfig ${missing[0]}: ENOENT: no such file or directory`,
    );
  });

  it('The error names the KUBECONFIG file that is not a kubeconfig, and does not quote it', () => {
    const good = write('good', { clusters: { here: { server: 'https://here' } } });
    const bad = join(folder, 'bad');
    writeFileSync(bad, 'token: "hidden\n');
    expect(() => loadKubeConfig([good, bad])).to.throw(
      `Cannot read the kubeconfig ${bad}: it is not a YAML file of clusters, users and contexts`,
    );
  });

  it('The error says that the current context has no cluster', () => {
    const files = [write('a', { contexts: { c: here }, current: 'c' }), write('b', {})];
    expect(() => loadKubeConfig(files)).to.throw(
      `The current context of the kubeconfig ${files.join(':')} has no cluster: set one with kubectl config use-context`,
    );
  });

  it('Relative paths of a KUBECONFIG file are relative to its directory', async () => {
    mkdirSync(join(folder, 'sub'));
    writeFileSync(join(folder, 'sub/token'), 'from sub');
    const context = write('context', {
      clusters: { here: { server: 'https://here' } },
      contexts: { c: here },
      current: 'c',
    });
    const users = write('sub/users', { users: { me: { tokenFile: 'token' } } });
    const cluster = write('sub/ca', {
      clusters: { there: { server: 'https://there', 'certificate-authority': 'ca.crt' } },
    });
    const config = loadKubeConfig([context, users, cluster]);
    expect(config.clusters.find(({ name }) => name === 'there')?.caFile).to.equal(join(folder, 'sub/ca.crt'));
  });
});
