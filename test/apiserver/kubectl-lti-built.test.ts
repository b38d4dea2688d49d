import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { CommandResult } from '../../dev/control-plane/control-plane.ts';
import { canarySecretName } from '../../src/api/names.ts';
import { eventually } from '../fixtures/command.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';
import { buildIfStale, installOperator, kubectl } from '../fixtures/installed.ts';
import { Pod } from '../fixtures/pod.ts';
import { TestRegistration } from '../fixtures/registration.ts';

const root = join(import.meta.dirname, '../..');

/**
 * The built kubectl-lti as a process, with the rights of a platform admin: the ClusterRole admin of Kubernetes, which deploy/tenant-rbac.yaml
 * extends, bound in the whole cluster.
 */
describe('The built kubectl lti', function () {
  const folder = mkdtempSync(join(tmpdir(), 'kubectl-lti-'));
  const file = join(folder, 'keys.json');
  let namespace: string;
  let admin: string;
  let viewer: string;
  let operator: string;
  let pod: Pod;
  let kekID: string;
  let keyID: string;
  let canvas: TestRegistration;

  before(async () => {
    await buildIfStale();
    operator = await installOperator(controlPlane());
    await kubectl(controlPlane(), ['apply', '--filename', join(root, 'deploy/tenant-rbac.yaml')]);
    const home = '--namespace=lti-key-operator';
    await kubectl(controlPlane(), ['delete', 'secret', canarySecretName, home, '--ignore-not-found']);
    namespace = await createNamespace('built-cli');
    admin = await accountWith('admin');
    viewer = await accountWith('view');
    pod = await Pod.create({ kubeconfig: operator, namespace });
    kekID = readFileSync(join(pod.kekDir, 'primary'), 'utf8').trim();
    canvas = new TestRegistration(controlPlane(), namespace, 'canvas');
    const running = [pod.startSidecar(), pod.startController()];
    await pod.ready();
    await canvas.apply();
    await canvas.isReady();
    keyID = (await canvas.delivered())['kid']!;
    await Promise.all(running.map((each) => each.kill()));
  });
  after(async () => {
    await pod.remove();
    await canvas.client.close();
    for (const role of ['admin', 'view']) {
      await kubectl(controlPlane(), ['delete', 'clusterrolebinding', `${namespace}-${role}`]);
    }
    rmSync(folder, { recursive: true });
  });

  /** The kubeconfig of an account with this ClusterRole, once its aggregated rules are in force. */
  async function accountWith(role: string): Promise<string> {
    const subject = `--serviceaccount=${namespace}:${role}`;
    await kubectl(controlPlane(), ['create', 'serviceaccount', role, `--namespace=${namespace}`]);
    await kubectl(controlPlane(), [
      'create',
      'clusterrolebinding',
      `${namespace}-${role}`,
      `--clusterrole=${role}`,
      subject,
    ]);
    await eventually(`${role} may list registrations`, async () => {
      const as = `--as=system:serviceaccount:${namespace}:${role}`;
      return (await controlPlane().kubectlRun(['auth', 'can-i', 'list', 'ltiregistrations', as])).code === 0;
    });
    return controlPlane().serviceAccountKubeconfig(namespace, role);
  }

  function lti(kubeconfig: string, ...args: readonly string[]): Promise<CommandResult> {
    const program = join(root, 'dist/kubectl-lti.js');
    const all = [program, ...args, `--kubeconfig=${kubeconfig}`, `--namespace=${namespace}`];
    return new Promise((resolve, reject) => {
      execFile(process.execPath, all, (error, stdout, stderr) => {
        if (error !== null && typeof error.code !== 'number') return reject(error);
        resolve({ stdout, stderr, code: Number(error?.code ?? 0) });
      });
    });
  }

  it('kek status counts the sealed keys in the ledgers, and says that it cannot as a viewer', async () => {
    const { code, stdout, stderr } = await lti(admin, 'kek', 'status', '--check');
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
    expect(stdout).to.match(new RegExp(`^${kekID} +1 +present$`, 'm'));
    expect(stdout).to.include(`Counted in the ledgers of namespace ${namespace}.`);
    const limited = await lti(viewer, 'kek', 'status');
    expect(limited.code).to.equal(0);
    expect(limited.stdout).to.match(new RegExp(`^${kekID} +1 +unknown$`, 'm'));
    expect(limited.stdout).to.include('because you may not list Secrets');
  });

  it('backup refuses a viewer and writes no file', async () => {
    const { code, stderr } = await lti(viewer, 'backup', file);
    expect(code).to.equal(1);
    expect(stderr).to.include('secrets');
    expect(existsSync(file)).to.equal(false);
  });

  it('backup writes one file that only its owner can read and that holds no private key in the clear', async () => {
    const { code, stdout, stderr } = await lti(admin, 'backup', file, `--kek-dir=${pod.kekDir}`);
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
    expect(stdout).to.equal(`${file}: 1 ledger, 1 registration, canaries\n`);
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    const { 'private.jwk': privateJwk } = await canvas.delivered();
    const { items } = JSON.parse(readFileSync(file, 'utf8')) as { items: { data?: Record<string, string> }[] };
    const texts = items
      .flatMap(({ data = {} }) => Object.values(data))
      .map((data) => Buffer.from(data, 'base64').toString());
    const { d } = JSON.parse(privateJwk!) as { d: string };
    expect(texts.some((text) => text.includes(d))).to.equal(false);
  });

  it('restore refuses a key-encryption key with other bytes and creates nothing', async () => {
    await removeEverything();
    const wrong = join(folder, 'kek');
    mkdirSync(wrong);
    writeFileSync(join(wrong, kekID), randomBytes(32).toString('base64'));
    writeFileSync(join(wrong, 'primary'), kekID);
    const { code, stderr } = await lti(admin, 'restore', file, `--kek-dir=${wrong}`, '--yes');
    expect(code).to.equal(3);
    expect(stderr).to.include('nothing was restored');
    expect(await left()).to.equal('');
  });

  it('restore brings the registration back, and the operator continues with the same key', async () => {
    const { code, stdout, stderr } = await lti(admin, 'restore', file, `--kek-dir=${pod.kekDir}`, '--yes');
    expect({ code, stderr }).to.deep.equal({ code: 0, stderr: '' });
    expect(stdout).to.include(`LtiRegistration ${namespace}/canvas created`);
    pod.startSidecar();
    pod.startController();
    await pod.ready();
    await canvas.isReady();
    expect((await canvas.delivered())['kid']).to.equal(keyID);
    const { keys } = (await (await fetch(pod.registrationUrl('canvas'))).json()) as {
      keys: readonly { kid: string }[];
    };
    expect(keys.map(({ kid }) => kid)).to.deep.equal([keyID]);
  });

  /** As a namespace that was deleted and created again. */
  async function removeEverything(): Promise<void> {
    const here = ['--all', `--namespace=${namespace}`];
    await kubectl(controlPlane(), ['delete', 'ltiregistrations,ltikeys,secrets', ...here]);
  }

  const left = (): Promise<string> =>
    kubectl(controlPlane(), ['get', 'ltiregistrations,secrets', `--namespace=${namespace}`, '--output=name']);
});
