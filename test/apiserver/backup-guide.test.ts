import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { expect } from 'chai';
import type { CommandResult } from '../../dev/control-plane/control-plane.ts';
import { buildIfStale, installOperator, kubectl, operatorAccount } from '../fixtures/installed.ts';
import { eventually, type RunningCommand } from '../fixtures/command.ts';
import { Pod } from '../fixtures/pod.ts';
import { TestRegistration } from '../fixtures/registration.ts';
import { controlPlane, createNamespace } from '../fixtures/control-plane.ts';
import { apply, render } from '../fixtures/rendered.ts';

/** The shell blocks of a page by the heading that they are under. */
const blocksOf = (page: string): ReadonlyMap<string, readonly string[]> =>
  new Map(
    readFileSync(join(import.meta.dirname, '../../docs', page), 'utf8')
      .split(/^##+ /m)
      .map((section): [string, readonly string[]] => [
        section.split('\n', 1)[0]!,
        [...section.matchAll(/^ *```sh\n(.*?)^ *```$/gms)].map(([, script = '']) => script),
      ]),
  );
const blocks = blocksOf('guides/backup-and-restore.md');
const recovery = blocksOf('recovery.md');
const runbooks = blocksOf('runbooks.md');
const kekGuide = blocksOf('guides/rotate-a-kek.md');

/**
 * The guide, and what docs/recovery.md says of one ledger, are followed to the letter with a real kubectl, jq and operator, under the
 * admission policies of deploy/; only `gradebook` and "all namespaces" are the namespace of this test.
 */
describe('docs/guides/backup-and-restore.md', function () {
  const folder = mkdtempSync(join(tmpdir(), 'backup-guide-'));
  let namespace: string;
  let pod: Pod;
  let controller: RunningCommand;
  let canvas: TestRegistration;
  let keyID: string | undefined;
  let policies: readonly { readonly kind: string; readonly metadata: { readonly name: string } }[] = [];

  const spec = {
    issuer: 'https://platform.example',
    clientID: 'tool-1',
    deploymentIDs: ['1'],
    delivery: { secretName: 'canvas-signing-key' },
  };
  const manifest = (change: object = {}): string =>
    JSON.stringify({
      apiVersion: 'ltikeys.dev/v1alpha1',
      kind: 'LtiRegistration',
      metadata: { name: 'canvas', namespace, labels: { team: 'assessment' } },
      spec: { ...spec, ...change },
    });
  const applied = (input: string, ...options: readonly string[]): Promise<CommandResult> =>
    controlPlane().kubectlRun(['apply', '--filename=-', ...options], { input });

  before(async () => {
    await buildIfStale();
    const kubeconfig = await installOperator(controlPlane());
    namespace = await createNamespace('guide');
    await installPolicies();
    await kubectl(controlPlane(), ['apply', `--filename=${join(import.meta.dirname, '../../deploy/deployment.yaml')}`]);
    pod = await Pod.create({ kubeconfig, namespace });
    pod.startSidecar();
    controller = pod.startController();
    canvas = new TestRegistration(controlPlane(), namespace, 'canvas');
    expect(await applied(manifest())).to.include({ code: 0 });
    await canvas.isReady();
    keyID = (await canvas.get()).status?.activeKey?.keyID;
    expect(keyID).to.be.a('string');
  });
  after(async () => {
    // Also of a set-up that failed: deploy.test.ts shares the control plane.
    const deployment = ['deployment', 'lti-key-operator', '--namespace=lti-key-operator'];
    await kubectl(controlPlane(), ['delete', ...deployment, '--ignore-not-found']);
    for (const { kind, metadata } of policies)
      await kubectl(controlPlane(), ['delete', kind, metadata.name, '--ignore-not-found']);
    await canvas?.client.close();
    await pod?.remove();
    rmSync(folder, { recursive: true });
  });
  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.log(pod.output().slice(-6000));
  });

  /** As deploy/ has them, bound to this namespace. */
  async function installPolicies(): Promise<void> {
    await kubectl(controlPlane(), ['label', 'namespace', namespace, `guide=${namespace}`]);
    const value = { namespaceSelector: { matchLabels: { guide: namespace } } };
    const patch = JSON.stringify([{ op: 'add', path: '/spec/matchResources', value }]);
    const rendered = await render({ patches: [{ target: { kind: 'ValidatingAdmissionPolicyBinding' }, patch }] });
    policies = rendered.filter(
      ({ kind, metadata }) => kind.startsWith('ValidatingAdmission') || metadata.name === 'lti-key-operator-identity',
    );
    await apply(policies);
  }

  /** Returns what the script prints. */
  async function follow(script: string): Promise<string> {
    const here = script
      .replaceAll('--all-namespaces', `--namespace=${namespace}`)
      .replaceAll('--namespace gradebook', `--namespace=${namespace}`);
    const path = `${dirname(controlPlane().kubectl)}${delimiter}${process.env['PATH']}`;
    const env = { ...process.env, PATH: path, KUBECONFIG: controlPlane().kubeconfig };
    const shell = spawn('sh', ['-euc', here], { cwd: folder, env });
    let output = '';
    shell.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    shell.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const code = await new Promise<number | null>((resolve) => shell.on('close', resolve));
    expect(code, `${here}\n${output}`).to.equal(0);
    return output;
  }

  it('The guide has commands under three headings, and this test runs all of them', () => {
    const found = [...blocks].filter(([, scripts]) => scripts.length > 0).map(([heading]) => heading);
    expect(found).to.deep.equal(['Back up', 'Restore', 'The registrations came first']);
  });

  it('The guide makes a backup without resource versions, owners and last-applied copies', async () => {
    for (const script of blocks.get('Back up')!) await follow(script);
    expect(readdirSync(folder)).to.have.length(3);
    for (const file of readdirSync(folder)) {
      const text = readFileSync(join(folder, file), 'utf8');
      expect((JSON.parse(text) as { items: object[] }).items, file).to.have.length(1);
      expect(text, file).to.not.match(
        /"(resourceVersion|uid|creationTimestamp|managedFields|ownerReferences)":|last-applied/,
      );
    }
  });

  it('The guide restores the registrations with their keys after everything was removed', async () => {
    await controller.kill();
    for (const script of blocks.get('The registrations came first')!) await follow(script);
    await kubectl(controlPlane(), [
      'delete',
      'secret',
      'lti-key-operator-kek-canaries',
      '--namespace=lti-key-operator',
    ]);
    const [scaleDown, create, scaleUp] = blocks.get('Restore')!;
    await follow(scaleDown!);
    await follow(create!);
    controller = pod.startController();
    await follow(scaleUp!);
    expect((await canvas.get()).status?.activeKey?.keyID).to.equal(keyID);
    expect((await canvas.delivered())['kid']).to.equal(keyID);
  });

  it('kubectl create, apply and replace do not overwrite a ledger that exists', async () => {
    const before = await canvas.ledger();
    const { items }: { items: readonly { data: object }[] } = JSON.parse(
      readFileSync(join(folder, 'ledgers.json'), 'utf8'),
    );
    const older = JSON.stringify({ ...items[0], data: { ...items[0]?.data, 'ledger.json': 'e30=' } });
    for (const [verb, why] of [
      ['create', 'AlreadyExists'],
      ['apply', 'Forbidden'],
      ['replace', 'Forbidden'],
    ] as const) {
      const { code, stderr } = await controlPlane().kubectlRun([verb, '--filename=-'], { input: older });
      expect(code, verb).to.equal(1);
      expect(stderr).to.include(`(${why})`);
    }
    // The operator itself may write it at any time.
    const keyIDs = ({ keys }: typeof before): readonly string[] => keys.map((key) => key.keyID);
    expect(keyIDs(await canvas.ledger())).to.deep.equal(keyIDs(before));
  });

  it('kubectl apply updates restored registrations without a warning and removes fields', async () => {
    const { metadata } = await canvas.get();
    expect(metadata.labels).to.deep.equal({ team: 'assessment' });
    const edited = await applied(manifest({ clientID: 'tool-2', deploymentIDs: undefined }));
    expect(edited).to.include({ code: 0, stderr: '' });
    const now = await canvas.get();
    expect(now.spec.clientID).to.equal('tool-2');
    expect(now.spec).to.not.have.property('deploymentIDs');
    expect(await applied(manifest({ clientID: 'tool-2' }))).to.include({ code: 0, stderr: '' });
  });

  it('Server-side apply updates restored registrations', async () => {
    const options = ['--server-side', '--force-conflicts', '--field-manager=gitops'];
    const { code, stderr } = await applied(manifest({ clientID: 'tool-3' }), ...options);
    expect(code, stderr).to.equal(0);
    expect((await canvas.get()).spec.clientID).to.equal('tool-3');
  });

  const edit = (change: object): Promise<string> => {
    const target = ['ltiregistration', 'canvas', '--namespace', namespace];
    return kubectl(controlPlane(), ['patch', ...target, '--type=merge', '--patch', JSON.stringify(change)]);
  };
  const activeKeyID = async (): Promise<string | undefined> => (await canvas.get()).status?.activeKey?.keyID;

  it('A ledger that was deleted or damaged is restored from its backup with the commands of docs/recovery.md', async () => {
    const [backUp = ''] = recovery.get('What to back up')!;
    const [, create = '', replace = ''] = /(.*)\n([^]*)/.exec(recovery.get('The ledger is lost')![0]!) ?? [];
    await canvas.isReady();
    await follow(backUp);
    const { data } = await canvas.ledgerSecret();
    const asOperator = `--as=${operatorAccount}`;
    await kubectl(controlPlane(), ['delete', 'secret', 'canvas-lti-keys', '--namespace', namespace, asOperator]);
    await follow(create);
    const restored = await canvas.ledgerSecret();
    expect(restored.data).to.deep.equal(data);
    const damaged = JSON.stringify({ ...restored, data: { ...data, 'ledger.json': 'e30=' } });
    await kubectl(controlPlane(), ['replace', '--filename=-', asOperator], damaged);
    await follow(replace);
    expect((await canvas.ledgerSecret()).data).to.deep.equal(data);
  });

  it('docs/guides/rotate-a-kek.md counts the sealed keys of each KEK in the ledgers', async () => {
    const script = [...kekGuide.values()].flat().find((each) => each.includes('uniq'))!;
    const { keys } = await canvas.ledger();
    const sealed = keys.filter(({ state }) => ['Next', 'Active', 'Retiring'].includes(state)).length;
    expect((await follow(script)).trim()).to.match(new RegExp(`^${sealed} kek-[0-9a-f]+$`));
  });

  it('The command under LTIWriteRefused in docs/runbooks.md names a delivery Secret that the API server refuses to change', async () => {
    const target = ['secret', 'canvas-signing-key', `--namespace=${namespace}`];
    await kubectl(controlPlane(), ['patch', ...target, '--patch', '{"immutable":true}']);
    await edit({ spec: { deploymentIDs: ['2'] } });
    await eventually('the refused write is reported', async () => {
      return canvas.condition('Stalled', await canvas.get())?.reason === 'WriteRefused';
    });
    expect(await follow(runbooks.get('LTIWriteRefused')![0]!)).to.match(
      new RegExp(`^${namespace}/canvas: .*${namespace}/canvas-signing-key`),
    );
    await kubectl(controlPlane(), ['delete', ...target]);
    await edit({ spec: { deploymentIDs: ['1'] } });
    await canvas.isReady();
  });

  it('A ledger from before the last rotation is used again with the commands of docs/recovery.md', async () => {
    await edit({ spec: { rotationTrigger: 'now', activationDelay: '2s', overlap: '2s' } });
    await eventually('the next key signs', async () => (await activeKeyID()) !== keyID);
    const [, , replace = ''] = /(.*)\n([^]*)/.exec(recovery.get('The ledger is lost')![0]!) ?? [];
    await follow(replace);
    // Without it, the operator would start that rotation again.
    await edit({ spec: { rotationTrigger: null } });
    await eventually('the older ledger is reported', async () => {
      return canvas.condition('Stalled', await canvas.get())?.reason === 'LedgerRolledBack';
    });
    const [accept = ''] = recovery.get('An older ledger was restored')!;
    await follow(accept);
    await edit({ metadata: { labels: { check: 'now' } } });
    await eventually('the first key signs again', async () => (await activeKeyID()) === keyID);
    await canvas.isReady();
    expect((await canvas.delivered())['kid']).to.equal(keyID);
  });
});
