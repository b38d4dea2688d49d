import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { canarySecretName, operatorName } from '../../../src/api/names.ts';
import type { KubeObject, Secret } from '../../../src/kube/objects.ts';
import type { FakeCluster } from '../../fakes/fake-cluster.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';
import { KubectlLti } from '../../fixtures/kubectl-lti.ts';
import { SealedLedgers } from '../../fixtures/sealed-ledgers.ts';

const secretsOf = (namespace: string): string => `/api/v1/namespaces/${namespace}/secrets`;
const registrationsOf = (namespace: string): string =>
  `/apis/ltikeys.dev/v1alpha1/namespaces/${namespace}/ltiregistrations`;
const leaseOf = `/apis/coordination.k8s.io/v1/namespaces/${operatorName}/leases`;
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

function registration(name: string, spec: object = {}): KubeObject {
  const object = {
    apiVersion: 'ltikeys.dev/v1alpha1',
    kind: 'LtiRegistration',
    metadata: { name, namespace: 'gradebook', annotations: { [lastApplied]: 'old', team: 'a' }, generation: 3 },
    spec: { issuer: 'https://platform.example', ...spec },
    status: { activeKey: { name: `${name}-1`, keyID: 'k' } },
  };
  return object;
}

describe('kubectl lti backup and restore', () => {
  let clusters: Readonly<Record<'here' | 'there', KubectlLti>>;
  let here: FakeCluster;
  let there: FakeCluster;
  let file: string;
  let sealed: SealedLedgers;
  let ledger: Secret;

  beforeEach(async () => {
    clusters = { here: await KubectlLti.start(), there: await KubectlLti.start() };
    [here, there] = [clusters.here.cluster, clusters.there.cluster];
    const { folder } = clusters.here;
    file = join(folder, 'keys.json');
    for (const name of ['gradebook', operatorName]) there.put('/api/v1/namespaces', { metadata: { name } });
    sealed = await SealedLedgers.create(join(folder, 'kek'));
    ledger = await sealed.ledger('gradebook', 'canvas');
    here.put(secretsOf('gradebook'), ledger);
    here.put(registrationsOf('gradebook'), registration('canvas'));
    here.put(secretsOf(operatorName), await sealed.canaries());
  });

  afterEach(async () => {
    await Promise.all(Object.values(clusters).map((each) => each.stop()));
  });

  const lti = (where: 'here' | 'there', line: string, answer?: boolean): ReturnType<KubectlLti['run']> =>
    clusters[where].run(line, fakeTerminal(answer === undefined ? {} : { answer }));

  const backUp = (): ReturnType<typeof lti> => lti('here', `backup ${file} -A --kek-dir ${sealed.kekDirectory}`);
  const restore = (options = '--yes'): ReturnType<typeof lti> => lti('there', `restore ${file} ${options}`);
  /** Everything but the namespaces. */
  const restored = (): string[] =>
    [...there.objects.keys()].filter((path) => !/^\/api\/v1\/namespaces\/[^/]+$/.test(path));

  it('backup writes a List that only the user can read, without what is only valid in the old cluster', async () => {
    const { code, out, err } = await backUp();
    expect({ code, err }).to.deep.equal({ code: 0, err: '' });
    expect(out).to.equal(`${file}: 1 ledger, 1 registration, canaries\n`);
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    const text = readFileSync(file, 'utf8');
    expect(text).not.to.match(/"(uid|resourceVersion|generation|status)":|last-applied/);
    const { kind, items } = JSON.parse(text) as { kind: string; items: KubeObject[] };
    expect(kind).to.equal('List');
    expect(items.map((item) => item.metadata.name)).to.deep.equal([canarySecretName, 'canvas-lti-keys', 'canvas']);
    expect(items[2]?.metadata.annotations).to.deep.equal({ team: 'a' });
  });

  it('backup does not overwrite a file', async () => {
    writeFileSync(file, 'precious');
    const { code, err } = await backUp();
    expect(code).to.equal(1);
    expect(err).to.include('exists already, and is not overwritten: nothing was written');
    expect(readFileSync(file, 'utf8')).to.equal('precious');
  });

  it('backup leaves out an entry that is not a sealed key, and exits with 3', async () => {
    const data = { ...ledger.data, 'private.pem': Buffer.from('in the clear').toString('base64') };
    here.put(secretsOf('gradebook'), { ...ledger, data } as KubeObject);
    const { code, err } = await backUp();
    expect(code).to.equal(3);
    expect(err).to.include('Ledger gradebook/canvas-lti-keys: entry private.pem is not a sealed key, and was left out');
    expect(readFileSync(file, 'utf8')).not.to.include(data['private.pem']);
  });

  it('backup names the keys that do not open with the KEKs of --kek-dir, and registrations without a ledger', async () => {
    here.put(registrationsOf('gradebook'), registration('moodle'));
    SealedLedgers.writeKek(sealed.kekDirectory);
    const { code, err } = await backUp();
    expect(code).to.equal(3);
    expect(err).to.include('of registration gradebook/canvas does not decrypt');
    expect(err).to.include('the canary of KEK k1 does not open');
    expect(err).to.include('gradebook/moodle has keys, but no ledger');
    expect(err).to.include('the backup was written, but has 3 problems');
  });

  it('restore creates canaries, ledgers and registrations in this order, and nothing if it is repeated', async () => {
    await backUp();
    const { code, out, err } = await restore(`--yes --kek-dir ${sealed.kekDirectory}`);
    expect({ code, err }).to.deep.equal({ code: 0, err: '' });
    expect(out.split('\n')).to.deep.equal([
      `Secret ${operatorName}/${canarySecretName} created`,
      'Secret gradebook/canvas-lti-keys created',
      'LtiRegistration gradebook/canvas created',
      '3 objects created, 0 existed with the same content.',
      '',
    ]);
    const object = there.objects.get(`${registrationsOf('gradebook')}/canvas`);
    expect(JSON.parse(object?.metadata.annotations?.[lastApplied] ?? '')).to.have.nested.property('spec.issuer');
    const secret = there.objects.get(`${secretsOf('gradebook')}/canvas-lti-keys`) as Secret;
    expect(secret.data).to.deep.equal(ledger.data);
    expect(secret.metadata).not.to.have.property('annotations');
    expect((await restore()).out).to.equal('Nothing to create: 3 objects exist with the same content.\n');
  });

  it('restore refuses a ledger that exists with other content, and creates nothing', async () => {
    await backUp();
    there.put(secretsOf('gradebook'), await sealed.ledger('gradebook', 'canvas'));
    const { code, err } = await restore();
    expect(code).to.equal(1);
    expect(err).to.include('Secret gradebook/canvas-lti-keys exists with other content');
    expect(err).to.include('nothing was restored: 1 obstacle\n');
    expect(restored()).to.have.length(1);
  });

  it('restore leaves a registration with another spec as it is, and says so', async () => {
    await backUp();
    there.put(registrationsOf('gradebook'), registration('canvas', { clientID: 'new' }));
    const { code, err } = await restore();
    expect(code).to.equal(0);
    expect(err).to.equal('Not restored: LtiRegistration gradebook/canvas: it exists with another spec.\n');
  });

  it('restore refuses a namespace that does not exist', async () => {
    await backUp();
    there.objects.delete('/api/v1/namespaces/gradebook');
    const { code, err } = await restore();
    expect(code).to.equal(1);
    expect(err).to.include('namespace gradebook does not exist: kubectl create namespace gradebook');
    expect(restored()).to.deep.equal([]);
  });

  it('restore refuses while the operator runs, unless it is told to restore beside it', async () => {
    await backUp();
    const spec = { holderIdentity: 'pod-a', renewTime: new Date().toISOString() };
    there.put(leaseOf, { metadata: { name: operatorName, namespace: operatorName }, spec } as KubeObject);
    const { code, err } = await restore();
    expect(code).to.equal(1);
    expect(err).to.include('pod-a renewed the Lease').and.include('--beside-operator');
    expect(restored()).to.have.length(1);
    there.put(registrationsOf('gradebook'), registration('canvas'));
    const early = await restore('--yes --beside-operator');
    expect(early.code).to.equal(1);
    expect(early.err).to.include('LtiRegistration gradebook/canvas exists without its ledger');
    there.objects.delete(`${registrationsOf('gradebook')}/canvas`);
    expect((await restore('--yes --beside-operator')).code).to.equal(0);
  });

  it('restore asks first, and needs --yes without a terminal', async () => {
    await backUp();
    const asked = await restore('--operator-namespace x');
    expect(asked.code).to.equal(2);
    expect(asked.err).to.equal('error: nothing was restored: confirm with --yes\n');
    const denied = await lti('there', `restore ${file}`, false);
    expect(denied.code).to.equal(1);
    expect(restored()).to.deep.equal([]);
    expect((await lti('there', `restore ${file}`, true)).code).to.equal(0);
  });

  it('restore names what it did not create after a failure, and completes it if it is repeated', async () => {
    await backUp();
    there.forbidden = /^POST .*ltiregistrations$/;
    const { code, err } = await restore();
    expect(code).to.equal(1);
    expect(err).to.include('Not restored:\n  LtiRegistration gradebook/canvas\nThe objects before them were created');
    there.forbidden = /^$/;
    const again = await restore();
    expect(again.code).to.equal(0);
    expect(again.out).to.include('1 object created, 2 existed with the same content.');
  });

  for (const [what, change, said] of [
    ['a truncated file', (text: string) => text.slice(0, -100), 'is not a List in JSON, or was truncated'],
    ['an object of another kind', (text: string) => text.replace('"LtiRegistration"', '"Pod"'), 'has an item 3 that'],
    [
      'a ledger of another registration',
      (text: string) => text.replace('"canvas-lti-keys"', '"moodle-lti-keys"'),
      'Ledger gradebook/moodle-lti-keys: ledger.json belongs to registration gradebook/canvas',
    ],
    [
      'a ledger without its sealed key',
      (text: string) => text.replace(/"([\w-]{43})\.jwe"/, '"$1x.jwe"'),
      'is missing',
    ],
  ] as const) {
    it(`restore refuses ${what}, and creates nothing`, async () => {
      await backUp();
      writeFileSync(file, change(readFileSync(file, 'utf8')));
      const { code, err } = await restore();
      expect(code).to.be.oneOf([1, 3]);
      expect(err).to.include(said).and.include('nothing was restored');
      expect(restored()).to.deep.equal([]);
    });
  }
});
