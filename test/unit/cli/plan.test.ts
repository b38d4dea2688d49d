import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { LtiKey } from '../../../src/api/objects.ts';
import { runCli } from '../../../src/cli/program.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { aPublicJwk } from '../../builders/ledger.ts';
import { FakeCluster } from '../../fakes/fake-cluster.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';

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
  it('plan --filename says that keys of a manifest with activation AfterFetch also wait for a fetch', async () => {
    const cluster = await FakeCluster.start();
    const folder = mkdtempSync(join(tmpdir(), 'plan-'));
    try {
      cluster.writeKubeconfig(join(folder, 'kubeconfig'));
      const spec = { ...manifest.spec, activation: 'AfterFetch' };
      const terminal = fakeTerminal({ input: JSON.stringify({ ...manifest, spec }) });
      expect(await runCli(['plan', '-f', '-', '--kubeconfig', join(folder, 'kubeconfig')], terminal)).to.equal(0);
      expect(terminal.output()).to.include('canvas-2');
      expect(terminal.errors()).to.include('each next key also waits until a client has fetched it');
    } finally {
      await cluster.stop();
      rmSync(folder, { recursive: true });
    }
  });

  it('plan --filename continues with the keys of the namespace that the manifest names, whatever the kubeconfig context has', async () => {
    const cluster = await FakeCluster.start();
    const folder = mkdtempSync(join(tmpdir(), 'plan-'));
    try {
      cluster.writeKubeconfig(join(folder, 'kubeconfig'));
      const status = { activeKey: { name: 'canvas-1', keyID: 'k1' } };
      cluster.put(collection('ltiregistrations'), { ...manifest, status } as typeof manifest);
      cluster.put(collection('ltikeys'), key);
      const terminal = fakeTerminal({
        input: JSON.stringify(manifest),
        clock: { ...systemClock, now: () => new Date('2027-03-01T08:00:00Z') },
      });
      const line = ['plan', '-f', '-', '-o', 'json', '--kubeconfig', join(folder, 'kubeconfig')];
      expect(await runCli(line, terminal), terminal.errors()).to.equal(0);
      const { items } = JSON.parse(terminal.output()) as { items: readonly { key: string; what: string }[] };
      expect(items[0]).to.include({ key: 'canvas-2' });
      expect(items[0]?.what).to.include('the signing key reaches rotateAfter');
    } finally {
      await cluster.stop();
      rmSync(folder, { recursive: true });
    }
  });
});
