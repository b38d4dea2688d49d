import { expect } from 'chai';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { kubeconfigVariable, useExisting } from '../../dev/control-plane/existing.ts';
import { startControlPlane } from '../../dev/control-plane/start.ts';
import { applyManifest, controlPlane, createNamespace } from '../fixtures/control-plane.ts';

describe('The control plane for tests', () => {
  it('The control plane serves the pinned version to a kubectl of that version', async () => {
    const goMod = readFileSync(join(import.meta.dirname, '../../dev/control-plane/kubernetes/go.mod'), 'utf8');
    const [, pinned] = /k8s\.io\/kubernetes (v\S+)/.exec(goMod) ?? [];
    const version = await kubectl('version');
    expect(version).to.contain(`Server Version: ${pinned}`).and.to.contain(`Client Version: ${pinned}`);
  });

  it('The control plane lets a ServiceAccount do what RBAC grants and nothing else', async () => {
    const namespace = await createNamespace('rbac');
    await kubectl('create', 'serviceaccount', 'reader', '-n', namespace);
    await kubectl('create', 'role', 'reader', '-n', namespace, '--verb=list', '--resource=configmaps');
    await kubectl(
      'create',
      'rolebinding',
      'reader',
      '-n',
      namespace,
      '--role=reader',
      `--serviceaccount=${namespace}:reader`,
    );
    const kubeconfig = await controlPlane().serviceAccountKubeconfig(namespace, 'reader');
    expect(statSync(kubeconfig).mode & 0o077, 'readable by others').to.equal(0);
    expect(
      await kubectl('auth', 'whoami', '--kubeconfig', kubeconfig, '-o', 'jsonpath={.status.userInfo.username}'),
    ).to.equal(`system:serviceaccount:${namespace}:reader`);
    // No --namespace: the kubeconfig's own is the ServiceAccount's. The API server takes a moment to see the binding.
    while ((await controlPlane().kubectlRun(['get', 'configmaps', '--kubeconfig', kubeconfig])).code !== 0)
      await wait(50);
    const refused = await controlPlane().kubectlRun(['get', 'secrets', '--kubeconfig', kubeconfig]);
    expect(refused).to.include({ code: 1 });
    expect(refused.stderr).to.contain(
      `User "system:serviceaccount:${namespace}:reader" cannot list resource "secrets"`,
    );
  });

  it('serviceAccountKubeconfig names the ServiceAccount that does not exist', async () => {
    const outcome = await controlPlane().serviceAccountKubeconfig('default', 'no-such-account').catch(String);
    expect(outcome).to.contain('No token for ServiceAccount default/no-such-account:').and.to.contain('not found');
  });

  it('The control plane deletes a namespace with its contents', async () => {
    const namespace = await createNamespace('doomed');
    await kubectl('create', 'configmap', 'content', '-n', namespace);
    await kubectl('delete', 'namespace', namespace, '--wait', '--timeout=120s');
    expect(await kubectl('get', 'namespace', namespace, '--ignore-not-found')).to.equal('');
  });

  it('The control plane garbage-collects an object whose owner is missing', async () => {
    const namespace = await createNamespace('garbage');
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'gone', uid: '00000000-0000-4000-8000-000000000000' };
    const metadata = { name: 'orphan', namespace, ownerReferences: [owner] };
    const applied = await applyManifest(JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata }));
    expect(applied.code, applied.stderr).to.equal(0);
    await kubectl('wait', '--for=delete', 'configmap/orphan', '-n', namespace, '--timeout=120s');
  });

  it('The control plane aggregates ClusterRoles', async () => {
    const metadata = { name: 'test-aggregated', labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } };
    const rules = [{ apiGroups: ['aggregated.example.org'], resources: ['things'], verbs: ['get'] }];
    const role = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata, rules };
    await applyManifest(JSON.stringify(role));
    const view = 'jsonpath={.rules[*].apiGroups}';
    while (!(await kubectl('get', 'clusterrole', 'view', '-o', view)).includes('aggregated.example.org'))
      await wait(50);
    await kubectl('delete', 'clusterrole', 'test-aggregated');
  });

  it('The control plane writes an audit log with the bodies of everything but Secrets', async () => {
    const namespace = await createNamespace('audit');
    await kubectl('create', 'configmap', 'open', '-n', namespace, '--from-literal=word=positive-control');
    await kubectl('create', 'secret', 'generic', 'closed', '-n', namespace, '--from-literal=word=hidden');
    const log = readFileSync(controlPlane().auditLogFile ?? '', 'utf8');
    expect(log).to.contain('positive-control').and.to.contain(`/api/v1/namespaces/${namespace}/secrets`);
    expect(log).not.to.contain(Buffer.from('hidden').toString('base64'));
  });

  describe('Crashes of its servers', () => {
    afterEach(async () => {
      await Promise.all([controlPlane().etcd.start(), controlPlane().apiServer.start()]);
    });

    for (const server of ['apiServer', 'etcd'] as const) {
      it(`The control plane keeps data, address and certificate when ${server} is killed and restarted`, async () => {
        const namespace = await createNamespace('crash');
        await controlPlane()[server].kill();
        const down = await controlPlane().kubectlRun(['get', 'namespace', namespace, '--request-timeout=2s']);
        expect(down.code).not.to.equal(0);
        await controlPlane()[server].start();
        await controlPlane().apiServer.start();
        // The API server reconnects to a new etcd on its own, within a moment.
        while ((await controlPlane().kubectlRun(['get', '--raw', '/readyz'])).code !== 0) await wait(50);
        expect(await kubectl('get', 'namespace', namespace, '-o', 'name')).to.equal(`namespace/${namespace}`);
      });
    }
  });

  it('startControlPlane quotes the log of a server that does not start, and leaves no folder behind', async () => {
    const temporary = mkdtempSync(join(tmpdir(), 'failed-start-'));
    const set = { TMPDIR: temporary, [kubeconfigVariable]: '' };
    const before = Object.keys(set).map((name) => [name, process.env[name]] as const);
    Object.assign(process.env, set);
    try {
      const outcome = await startControlPlane({ extraApiServerFlags: ['--no-such-flag'] }).catch(String);
      expect(outcome).to.match(/^Error: kube-apiserver ended with 1 before it was ready; the end of its log:\n/);
      expect(outcome).to.contain('unknown flag: --no-such-flag');
      expect(readdirSync(temporary)).to.deep.equal([]);
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      rmSync(temporary, { recursive: true });
    }
  });

  it('The control plane leaves no process and no folder behind when its parent is killed with SIGKILL', async () => {
    const start = join(import.meta.dirname, '../../dev/control-plane/start.ts');
    const source = `
      import { startControlPlane } from ${JSON.stringify(start)};
      console.log((await startControlPlane({ controllerManager: true })).folder);`;
    const env = { ...process.env, [kubeconfigVariable]: '' };
    const parent = spawn(process.execPath, ['--input-type=module', '--eval', source], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exit = once(parent, 'exit');
    const folder = String(await once(parent.stdout, 'data')).trim();
    // etcd, kube-apiserver and kube-controller-manager, the shell that waits beside each, and the folder's remover.
    expect(processesNaming(folder)).to.have.length(7);
    parent.kill('SIGKILL');
    await exit;
    while (processesNaming(folder).length > 0 || existsSync(folder)) await wait(50);
  });

  it('useExisting uses the server that the user names and never stops it', async () => {
    const existing = await useExisting(controlPlane().kubeconfig);
    try {
      expect(existing.url).to.equal(controlPlane().url);
      expect(dirname(existing.caFile)).to.equal(existing.folder);
      const kubeconfig = await existing.serviceAccountKubeconfig('default', 'default');
      const whoami = ['auth', 'whoami', '--kubeconfig', kubeconfig, '-o', 'jsonpath={.status.userInfo.username}'];
      expect((await existing.kubectlRun(whoami)).stdout).to.equal('system:serviceaccount:default:default');
      expect(await existing.apiServer.kill().catch(String)).to.equal(
        `Error: kube-apiserver belongs to the server that ${kubeconfigVariable} names: unset it for tests that stop servers.`,
      );
    } finally {
      await existing.stop();
    }
    expect(existsSync(existing.folder)).to.equal(false);
    await kubectl('get', '--raw', '/readyz');
  });

  it('useExisting reports what is wrong with a kubeconfig', async () => {
    expect(await useExisting('/no/such/kubeconfig').catch(String)).to.equal(
      'Error: CONTROL_PLANE_KUBECONFIG is /no/such/kubeconfig, which does not exist: set it to a kubeconfig, or unset it.',
    );
    const withoutAuthority = join(controlPlane().folder, 'insecure.kubeconfig');
    const text = readFileSync(controlPlane().kubeconfig, 'utf8');
    writeFileSync(withoutAuthority, text.replace('"certificate-authority"', '"unknown"'));
    expect(await useExisting(withoutAuthority).catch(String)).to.equal(
      `Error: CONTROL_PLANE_KUBECONFIG is ${withoutAuthority}, whose current context has no certificate-authority: name one in it.`,
    );
  });
});

function processesNaming(text: string): string[] {
  const lines = execFileSync('ps', ['-eo', 'stat=,args='], { encoding: 'utf8' }).split('\n');
  return lines.filter((line) => line.includes(text) && !line.startsWith('Z'));
}

/** Runs kubectl, which must succeed, and returns what it printed. */
async function kubectl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await controlPlane().kubectlRun(args);
  expect(code, `kubectl ${args.join(' ')}: ${stderr}`).to.equal(0);
  return stdout.trim();
}
