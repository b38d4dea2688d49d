import { expect } from 'chai';
import { leases } from '../../src/api/names.ts';
import { runCli } from '../../src/cli/program.ts';
import type { Finding } from '../../src/cli/doctor/finding.ts';
import { microTime } from '../../src/kube/objects.ts';
import { applyManifest, controlPlane, createNamespace, installCrds } from '../fixtures/control-plane.ts';
import { apply, type Manifest, render } from '../fixtures/rendered.ts';
import { eventually } from '../fixtures/tenant.ts';
import { fakeTerminal } from '../fakes/fake-terminal.ts';

/** `kubectl lti doctor` on deploy/ as an installer applies it. No kubelet runs the Pods, so this test writes what they would. */
describe('kubectl lti doctor on a cluster', () => {
  let namespace: string;
  let installed: readonly Manifest[];

  before(async () => {
    await installCrds();
    namespace = await createNamespace('doctor');
    const label = { doctor: namespace };
    await run(['label', 'namespace', namespace, `doctor=${namespace}`]);
    // Policies are cluster-wide, and other tests write LtiKeys, too.
    const value = { namespaceSelector: { matchLabels: label } };
    const patch = JSON.stringify([{ op: 'add', path: '/spec/matchResources', value }]);
    const patches = [{ target: { kind: 'ValidatingAdmissionPolicyBinding' }, patch }];
    const rendered = await render({ namespace, nameSuffix: `-${namespace}`, patches });
    const skipped = new Set(['CustomResourceDefinition', 'Namespace']);
    installed = rendered.filter(({ kind }) => !skipped.has(kind));
    await apply(installed);
  });

  after(async () => {
    for (const { kind, metadata } of installed) {
      const place = metadata.namespace === undefined ? [] : [`--namespace=${metadata.namespace}`];
      await run(['delete', kind, metadata.name, '--ignore-not-found', '--wait=false', ...place]);
    }
  });

  async function run(args: readonly string[]): Promise<void> {
    const { code, stderr } = await controlPlane().kubectlRun(args);
    expect(code, stderr).to.equal(0);
  }

  async function doctor(...args: readonly string[]): Promise<{ code: number; findings: ReadonlyMap<string, Finding> }> {
    const terminal = fakeTerminal();
    const kubeconfig = ['--kubeconfig', controlPlane().kubeconfig, '--operator-namespace', namespace];
    const code = await runCli(['doctor', '-n', namespace, '-o', 'json', ...kubeconfig, ...args], terminal);
    expect(terminal.output(), terminal.errors()).not.to.equal('');
    const { checks } = JSON.parse(terminal.output()) as { checks: readonly Finding[] };
    return { code, findings: new Map(checks.map((each) => [each.check, each])) };
  }

  const resultOf = (findings: ReadonlyMap<string, Finding>, check: string): string | undefined =>
    findings.get(check)?.result;

  async function lead(renewed: Date): Promise<void> {
    const lease = {
      apiVersion: `${leases.group}/v1`,
      kind: leases.kind,
      metadata: { name: 'lti-key-operator', namespace },
      spec: { holderIdentity: 'pod-a', leaseDurationSeconds: 15, renewTime: microTime(renewed) },
    };
    expect((await applyManifest(JSON.stringify(lease))).code).to.equal(0);
  }

  it('doctor fails with a remedy for each check while nothing runs', () =>
    // The API server takes a moment to see the bindings.
    eventually(async () => {
      const { code, findings } = await doctor();
      expect(code).to.equal(3);
      for (const check of ['Deployment', 'leader', 'JWKS Service']) {
        expect(resultOf(findings, check), check).to.equal('failed');
        expect(findings.get(check)?.remedy, check).to.be.a('string');
      }
      for (const check of ['CRDs', 'versions', 'admission policies', 'operator rights', 'your rights', 'clock']) {
        expect(findings.get(check), check).to.include({ result: 'passed' });
      }
      expect(resultOf(findings, 'monitors')).to.equal('unknown');
    }));

  it('doctor passes every check that it can make once the operator leads and serves', async () => {
    await lead(new Date());
    const service = installed.find(({ kind, metadata }) => kind === 'Service' && /jwks/.test(metadata.name))!;
    const slice = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'jwks-1', namespace, labels: { 'kubernetes.io/service-name': service.metadata.name } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true } }],
    };
    expect((await applyManifest(JSON.stringify(slice))).code).to.equal(0);
    const name = installed.find(({ kind }) => kind === 'Deployment')!.metadata.name;
    const status = JSON.stringify({ status: { replicas: 2, readyReplicas: 2 } });
    await run(['patch', 'deployment', name, `--namespace=${namespace}`, '--subresource=status', `--patch=${status}`]);
    const { findings } = await doctor();
    for (const check of ['Deployment', 'leader', 'JWKS Service']) {
      expect(findings.get(check), check).to.include({ result: 'passed' });
    }
  });

  it('doctor names a leader that no longer renews its Lease', async () => {
    await lead(new Date(Date.now() - 600_000));
    const { code, findings } = await doctor();
    expect(code).to.equal(3);
    expect(findings.get('leader')).to.include({ result: 'failed' });
    expect(findings.get('leader')?.detail).to.match(/^pod-a leads, and renewed the Lease (10|9)m/);
  });

  it('doctor reports what a user without rights cannot check as unknown', async () => {
    const { code, findings } = await doctor('--as', 'powerless');
    expect(code).to.equal(0);
    for (const check of ['Deployment', 'leader', 'JWKS Service', 'admission policies', 'operator rights']) {
      expect(resultOf(findings, check), check).to.equal('unknown');
    }
    expect(resultOf(findings, 'your rights')).to.equal('warning');
    expect(resultOf(findings, 'registrations')).to.equal('unknown');
  });

  it('doctor names a right that the operator lost, and a policy that is no longer bound', async () => {
    const binding = installed.find(({ kind, metadata }) => kind === 'RoleBinding' && metadata.namespace === namespace)!;
    await run(['delete', 'rolebinding', binding.metadata.name, `--namespace=${namespace}`]);
    const policy = installed.find(
      ({ kind, metadata }) => kind === 'ValidatingAdmissionPolicyBinding' && /ledgers/.test(metadata.name),
    )!;
    await run(['delete', policy.kind, policy.metadata.name]);
    await eventually(async () => {
      const { code, findings } = await doctor();
      expect(code).to.equal(3);
      expect(findings.get('operator rights')?.detail).to.include(`may not create leases in ${namespace}`);
      expect(findings.get('admission policies')?.detail).to.include('changes and deletions of ledgers');
    });
  });
});
