import { join } from 'node:path';
import { expect } from 'chai';
import { ledgerSecretType, operatorName } from '../../../src/api/names.ts';
import type { KubeObject } from '../../../src/kube/objects.ts';
import { sleep, systemClock } from '../../../src/lib/clock.ts';
import type { FakeCluster } from '../../fakes/fake-cluster.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';
import { KubectlLti } from '../../fixtures/kubectl-lti.ts';
import { SealedLedgers } from '../../fixtures/sealed-ledgers.ts';

const namespaced = (namespace: string, plural: string, api = '/api/v1'): string =>
  `${api}/namespaces/${namespace}/${plural}`;

describe('kubectl lti on an API server in memory', () => {
  let kubectlLti: KubectlLti;
  let cluster: FakeCluster;
  let sealed: SealedLedgers;

  beforeEach(async () => {
    kubectlLti = await KubectlLti.start();
    ({ cluster } = kubectlLti);
    sealed = await SealedLedgers.create(join(kubectlLti.folder, 'kek'));
    cluster.put(namespaced('gradebook', 'secrets'), await sealed.ledger('gradebook', 'canvas'));
    cluster.put(namespaced('other', 'secrets'), await sealed.ledger('other', 'moodle'));
    cluster.put(namespaced(operatorName, 'secrets'), await sealed.canaries());
  });

  afterEach(() => kubectlLti.stop());

  const lti = (line: string): ReturnType<KubectlLti['run']> => kubectlLti.run(line);

  it('kek status counts the sealed keys of the ledgers, and shows which KEK has a canary', async () => {
    const { code, out, err } = await lti('kek status -A');
    expect({ code, err }).to.deep.equal({ code: 0, err: '' });
    expect(out.split('\n').slice(0, 2)).to.deep.equal(['KEK   SEALED KEYS   CANARY', 'k1    2             present']);
    expect(out).to.include('Counted in the ledgers of all namespaces.');
    const one = JSON.parse((await lti('kek status -n other -o json')).out) as object;
    expect(one).to.deep.include({ source: 'ledgers', namespace: 'other' });
    expect(one).to.have.deep.nested.property('keks[0]', { kekID: 'k1', sealedKeys: 1, canary: 'present' });
  });

  it('kek status counts LtiKeys for a user who may not list Secrets, and says so', async () => {
    cluster.forbidden = /secrets/;
    const spec = { registrationRef: { name: 'canvas' } };
    const key = {
      kind: 'LtiKey',
      metadata: { name: 'canvas-1', namespace: 'gradebook' },
      spec,
      status: { kekID: 'k1' },
    };
    cluster.put(namespaced('gradebook', 'ltikeys', '/apis/ltikeys.dev/v1alpha1'), key);
    const { code, out } = await lti('kek status -A');
    expect(code).to.equal(0);
    expect(out).to.include('k1    1             unknown').and.include('because you may not list Secrets');
  });

  it('kek status names a sealed key whose header cannot be read, and --check exits with 3', async () => {
    const data = { 'ledger.json': '', 'a.jwe': Buffer.from('{}').toString('base64') };
    const metadata = { name: 'sakai-lti-keys', namespace: 'other' };
    cluster.put(namespaced('other', 'secrets'), { kind: 'Secret', metadata, type: ledgerSecretType, data } as never);
    const { code, out } = await lti('kek status -n other --check');
    expect(code).to.equal(3);
    expect(out).to.include('other/sakai-lti-keys, entry a.jwe: the header of the sealed key cannot be read');
  });

  it('doctor makes every check, and exits with 3 while nothing is installed', async () => {
    const { code, out } = await lti('doctor -n gradebook');
    expect(code).to.equal(3);
    for (const check of ['CRDs', 'Deployment', 'leader', 'JWKS Service', 'admission policies', 'operator rights']) {
      expect(out).to.match(new RegExp(`^${check} `, 'm'));
    }
    expect(out).to.include('What to do:\n');
  });

  describe('acknowledge --revocation', () => {
    const api = '/apis/ltikeys.dev/v1alpha1';
    const collection = namespaced('gradebook', 'ltiregistrations', api);
    const annotation = 'ltikeys.dev/acknowledged-revocations';
    const key = (name: string, keyID: string, state: string): void =>
      cluster.put(namespaced('gradebook', 'ltikeys', api), {
        kind: 'LtiKey',
        metadata: { name, namespace: 'gradebook', labels: { 'ltikeys.dev/registration': 'moodle' } },
        spec: { registrationRef: { name: 'moodle' }, keyID, revision: Number(name.at(-1)) },
        status: { state },
      } as never);
    const apply = (reason: string, annotations: Record<string, string> = {}): void => {
      const conditions = [{ type: 'RevocationEffective', status: 'Unknown', reason, message: 'key a is served' }];
      const metadata = { name: 'moodle', namespace: 'gradebook', annotations };
      cluster.put(collection, { kind: 'LtiRegistration', metadata, spec: {}, status: { conditions } } as never);
    };
    const annotated = (): unknown => cluster.objects.get(`${collection}/moodle`)?.metadata.annotations;

    beforeEach(() => {
      key('moodle-1', 'a', 'Revoked');
      key('moodle-2', 'b', 'Revoked');
      key('moodle-3', 'c', 'Active');
    });

    it('acknowledge --revocation adds the IDs of all revoked keys to the annotation, or the one that is given', async () => {
      apply('RevocationPending', { [annotation]: 'old', other: 'kept' });
      const one = await lti('acknowledge moodle b -n gradebook --revocation');
      expect(one.out).to.equal('ltiregistration.ltikeys.dev/moodle: revocation of b acknowledged\n');
      expect(annotated()).to.deep.equal({ [annotation]: 'old b', other: 'kept' });
      expect((await lti('acknowledge moodle -n gradebook --revocation')).code).to.equal(0);
      expect(annotated()).to.deep.equal({ [annotation]: 'old b a', other: 'kept' });
    });

    it('acknowledge --revocation refuses a key that is not revoked, and a revoked key that a replica still serves', async () => {
      apply('RevokedKeyStillServed');
      const wrong = await lti('acknowledge moodle c -n gradebook --revocation');
      expect(wrong).to.include({ code: 1 });
      expect(wrong.err).to.include('c is not a revoked key of moodle').and.include('a, b');
      const served = await lti('acknowledge moodle a -n gradebook --revocation');
      expect(served.err).to.include('key a is served: nothing was changed');
      expect(annotated()).to.deep.equal({});
    });
  });

  for (const [reason, waits] of [
    ['FetchRequired', 'canvas-2 waits for a fetch'],
    ['AcknowledgementRequired', 'canvas-2 waits for its acknowledgement'],
  ] as const) {
    it(`status says what a due next key waits for, with the remedy: ${reason}`, async () => {
      const collection = namespaced('gradebook', 'ltiregistrations', '/apis/ltikeys.dev/v1alpha1');
      const status = {
        phase: 'ActionRequired',
        nextKey: { name: 'canvas-2', keyID: 'k2', activateAfter: '2026-01-01T00:00:00Z' },
        conditions: [{ type: 'ActionRequired', status: 'True', reason, message: 'next key k2 is due' }],
      };
      const metadata = { name: 'canvas', namespace: 'gradebook' };
      cluster.put(collection, { kind: 'LtiRegistration', metadata, spec: {}, status } as never);
      const { code, out } = await lti('status -n gradebook');
      expect(code).to.equal(0);
      expect(out).to.include(waits).and.not.include('about to sign');
      expect(out).to.match(/ActionRequired: \w+\n {2}next key k2 is due\n {2}Remedy: .*spec\.acknowledgedKeyID/);
    });
  }

  it('status --watch prints the present state, each visible change and deletions until it is interrupted', async () => {
    const collection = namespaced('gradebook', 'ltiregistrations', '/apis/ltikeys.dev/v1alpha1');
    const registration = (phase: string): KubeObject => {
      const metadata = { name: 'canvas', namespace: 'gradebook' };
      return { kind: 'LtiRegistration', metadata, spec: {}, status: { phase } } as KubeObject;
    };
    cluster.put(collection, registration('Pending'));
    const interrupt = new AbortController();
    const terminal = fakeTerminal({ signal: interrupt.signal });
    const watch = kubectlLti.run('status -n gradebook -w', terminal);
    await eventually(() => cluster.watches === 1);
    cluster.put(collection, registration('Pending'));
    cluster.put(collection, registration('Ready'));
    cluster.remove(`${collection}/canvas`);
    await eventually(() => terminal.output().includes('was deleted'));
    interrupt.abort();
    expect((await watch).code).to.equal(130);
    expect(terminal.errors()).to.equal('');
    expect(terminal.output().split('\n')).to.deep.equal([
      'NAMESPACE   NAME     STATUS    KEY   AGE   NEXT ROTATION   IN PROGRESS',
      'gradebook   canvas   Pending   -     -     -               -',
      'gradebook   canvas   Ready     -     -     -               -',
      'gradebook/canvas was deleted',
      '',
    ]);
  });

  it('revoke deletes the registration that it created for retained keys, although the operator writes a status meanwhile', async () => {
    const api = '/apis/ltikeys.dev/v1alpha1';
    const collection = namespaced('gradebook', 'ltiregistrations', api);
    const spec = { registrationRef: { name: 'canvas' }, keyID: 'leaked' };
    const key = { kind: 'LtiKey', metadata: { name: 'canvas-1', namespace: 'gradebook' }, spec };
    cluster.put(namespaced('gradebook', 'ltikeys', api), key);
    const observed = (resourceVersion: string): void => {
      const metadata = { name: 'canvas', namespace: 'gradebook', generation: 1, resourceVersion };
      cluster.put(collection, { metadata, status: { observedGeneration: 1 } } as KubeObject);
    };
    const conflicts = ['3'];
    cluster.beforeDelete = () => conflicts.splice(0).forEach(observed);
    const revoking = lti('revoke canvas leaked --yes --no-wait --issuer https://a.example -n gradebook');
    await eventually(() => cluster.objects.has(`${collection}/canvas`));
    observed('2');
    expect(await revoking).to.include({ code: 0, err: '' });
    expect(cluster.objects.has(`${collection}/canvas`)).to.equal(false);
  });
});

async function eventually(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('not within 10 s');
    await sleep(systemClock, 5);
  }
}
