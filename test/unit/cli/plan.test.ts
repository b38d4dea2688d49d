import { expect } from 'chai';
import type { LtiKey } from '../../../src/api/objects.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { aPublicJwk } from '../../builders/ledger.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';
import { KubectlLti } from '../../fixtures/kubectl-lti.ts';

const collection = (plural: string): string => `/apis/ltikeys.dev/v1alpha1/namespaces/gradebook/${plural}`;
const manifest = {
  apiVersion: 'ltikeys.dev/v1alpha1',
  kind: 'LtiRegistration',
  metadata: { name: 'canvas', namespace: 'gradebook' },
  spec: { issuer: 'https://canvas.example' },
};
const key = {
  apiVersion: 'ltikeys.dev/v1alpha1',
  kind: 'LtiKey',
  metadata: { name: 'canvas-1', namespace: 'gradebook' },
  spec: {
    registrationRef: { name: 'canvas' },
    revision: 1,
    keyID: 'k1',
    algorithm: 'RS256',
    size: 2048,
    publicJWK: aPublicJwk('k1'),
  },
  status: { state: 'Active', createdAt: '2027-01-10T08:00:00Z', activatedAt: '2027-01-10T08:00:00Z' },
} as LtiKey;

describe('kubectl lti plan --filename', () => {
  let kubectlLti: KubectlLti;

  beforeEach(async () => {
    kubectlLti = await KubectlLti.start();
  });

  afterEach(() => kubectlLti.stop());

  it('plan --filename says that keys of a manifest with activation AfterFetch also wait for a fetch', async () => {
    const spec = { ...manifest.spec, activation: 'AfterFetch' };
    const terminal = fakeTerminal({ input: JSON.stringify({ ...manifest, spec }) });
    const { code, out, err } = await kubectlLti.run('plan -f -', terminal);
    expect(code).to.equal(0);
    expect(out).to.include('canvas-2');
    expect(err).to.include('each next key also waits until a client has fetched it');
  });

  it('plan --filename continues with the keys of the namespace that the manifest names, whatever the kubeconfig context has', async () => {
    const { cluster } = kubectlLti;
    const status = { activeKey: { name: 'canvas-1', keyID: 'k1' } };
    cluster.put(collection('ltiregistrations'), { ...manifest, status } as typeof manifest);
    cluster.put(collection('ltikeys'), key);
    const terminal = fakeTerminal({
      input: JSON.stringify(manifest),
      clock: { ...systemClock, now: () => new Date('2027-03-01T08:00:00Z') },
    });
    const { code, out, err } = await kubectlLti.run('plan -f - -o json', terminal);
    expect(code, err).to.equal(0);
    const { items } = JSON.parse(out) as { items: readonly { key: string; what: string }[] };
    expect(items[0]).to.include({ key: 'canvas-2' });
    expect(items[0]?.what).to.include('the signing key reaches rotateAfter');
  });
});
