import { expect } from 'chai';
import { allows, type Connection, type End, type Pod } from '../fixtures/network-policies.ts';
import { type Manifest, render } from '../fixtures/rendered.ts';

interface Template {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly containers: readonly {
      readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
    }[];
  };
}

/** A Pod of that Deployment. */
function podOf(rendered: readonly Manifest[], deployment: string): Pod {
  const found = rendered.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === deployment);
  if (!found) throw new Error(`There is no Deployment ${deployment}.`);
  const { template } = found['spec'] as { readonly template: Template };
  const ports = template.spec.containers.flatMap((container) => container.ports ?? []);
  return {
    namespace: found.metadata.namespace ?? '',
    labels: template.metadata.labels,
    ports: Object.fromEntries(ports.map(({ name, containerPort }) => [name, containerPort])),
  };
}

describe('The NetworkPolicies', () => {
  const world: End = { address: '203.0.113.7' };
  const pod = (namespace: string, labels: Pod['labels'] = {}): Pod => ({ namespace, labels });
  const solver = pod('lti-key-operator', { 'acme.cert-manager.io/http01-solver': 'true' });

  let rendered: readonly Manifest[];
  let operator: Pod;
  let publisher: Pod;
  before(async () => {
    rendered = await render({ components: ['deploy/publisher'] });
    operator = podOf(rendered, 'lti-key-operator');
    publisher = podOf(rendered, 'lti-key-publisher');
  });

  type Case = readonly [what: string, connection: () => Connection];

  const allowed: readonly Case[] = [
    ['any client fetch the documents of the operator', () => ({ from: world, to: operator, port: 8080 })],
    [
      'any client fetch the documents of a publisher',
      () => ({ from: pod('ingress-nginx'), to: publisher, port: 8080 }),
    ],
    ['the leader ask the other replica', () => ({ from: operator, to: operator, port: 8080 })],
    ['the leader ask a publisher', () => ({ from: operator, to: publisher, port: 8080 })],
    ['Prometheus scrape jwks', () => ({ from: pod('monitoring'), to: operator, port: 8081 })],
    ['Prometheus scrape the controller', () => ({ from: pod('monitoring'), to: operator, port: 8082 })],
    ['Prometheus scrape a publisher', () => ({ from: pod('monitoring'), to: publisher, port: 8082 })],
    ['the operator reach --jwks-public-url', () => ({ from: operator, to: world, port: 443 })],
    ['any client reach the HTTP-01 solver of cert-manager', () => ({ from: world, to: solver, port: 8089 })],
    ['the solver answer and resolve', () => ({ from: solver, to: world, port: 53, protocol: 'UDP' })],
  ];
  const refused: readonly Case[] = [
    ['any client reach a debugger in the operator', () => ({ from: pod('tenant'), to: operator, port: 9229 })],
    ['clients outside the cluster read metrics', () => ({ from: world, to: operator, port: 8082 })],
    ['clients outside the cluster read metrics of a publisher', () => ({ from: world, to: publisher, port: 8081 })],
    ['the operator send mail', () => ({ from: operator, to: world, port: 25 })],
    ['the operator open a shell elsewhere', () => ({ from: operator, to: world, port: 22 })],
    ['the operator send UDP', () => ({ from: operator, to: world, port: 443, protocol: 'UDP' })],
    ['a publisher open a shell elsewhere', () => ({ from: publisher, to: world, port: 22 })],
  ];

  for (const [what, connection] of allowed) {
    it(`The NetworkPolicies let ${what}`, () => expect(allows(rendered, connection())).to.equal(true));
  }
  for (const [what, connection] of refused) {
    it(`The NetworkPolicies do not let ${what}`, () => expect(allows(rendered, connection())).to.equal(false));
  }

  for (const port of [443, 6443, 8443, 16443, 30432]) {
    it(`The NetworkPolicies let the operator and publishers reach an API server on port ${port}`, () => {
      for (const from of [operator, publisher]) {
        expect(allows(rendered, { from, to: { address: '192.0.2.10' }, port })).to.equal(true);
      }
    });
  }

  for (const port of [6443, 8443, 16443]) {
    it(`The NetworkPolicies list port ${port} of API servers for network plugins that ignore endPort`, () => {
      const ignoring = (key: string, value: unknown): unknown => (key === 'endPort' ? undefined : value);
      const without: readonly Manifest[] = JSON.parse(JSON.stringify(rendered), ignoring);
      for (const from of [operator, publisher]) {
        expect(allows(without, { from, to: { address: '192.0.2.10' }, port })).to.equal(true);
      }
    });
  }

  const resolvers: readonly (readonly [what: string, to: End, port: number])[] = [
    ['CoreDNS in kube-system', pod('kube-system', { 'k8s-app': 'kube-dns' }), 53],
    ['the DNS of OpenShift', pod('openshift-dns', { 'dns.operator.openshift.io/daemonset-dns': 'default' }), 5353],
    ['NodeLocal DNSCache', { address: '169.254.20.10' }, 53],
  ];
  for (const [what, to, port] of resolvers) {
    it(`The NetworkPolicies let the operator and publishers ask ${what}`, () => {
      for (const from of [operator, publisher]) {
        for (const protocol of ['UDP', 'TCP'] as const) {
          expect(allows(rendered, { from, to, port, protocol })).to.equal(true);
        }
      }
    });
  }

  it('The patch in their comments narrows the NetworkPolicies to the address of the API server', async () => {
    const patches = ['lti-key-operator', 'lti-key-publisher'].map((name) => ({
      target: { kind: 'NetworkPolicy', name },
      patch: JSON.stringify([
        {
          op: 'replace',
          path: '/spec/egress/0',
          value: { to: [{ ipBlock: { cidr: '192.0.2.10/32' } }], ports: [{ port: 6443 }] },
        },
      ]),
    }));
    const narrowed = await render({ components: ['deploy/publisher'], patches });
    for (const from of [operator, publisher]) {
      expect(allows(narrowed, { from, to: { address: '192.0.2.10' }, port: 6443 })).to.equal(true);
      for (const port of [443, 6443, 8443]) expect(allows(narrowed, { from, to: world, port })).to.equal(false);
      expect(allows(narrowed, { from, to: { address: '169.254.20.10' }, port: 53, protocol: 'UDP' })).to.equal(true);
    }
    expect(allows(narrowed, { from: operator, to: publisher, port: 8080 })).to.equal(true);
  });
});
