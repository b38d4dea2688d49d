import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse, parseAllDocuments } from 'yaml';
import type { ControlPlane } from '../../dev/control-plane/control-plane.ts';
import { startControlPlane } from '../../dev/control-plane/start.ts';
import { registration } from '../fixtures/admission.ts';
import { type Choice, choices } from '../fixtures/chart-choices.ts';
import { controlPlane } from '../fixtures/control-plane.ts';
import { eventually } from '../fixtures/command.ts';
import { chart, Helm } from '../fixtures/helm.ts';
import { kubectl } from '../fixtures/installed.ts';
import { type Manifest, render } from '../fixtures/rendered.ts';

/** The Helm chart, with Helm itself: what it renders, and what it does to an API server. */

const release = 'keys';
const home = 'lti-key-operator';
let helm: Helm;

before(async function () {
  // Helm is built where it is not in the cache.
  this.timeout(900_000);
  helm = await Helm.for(controlPlane());
});
after(() => helm.remove());

async function template(values: object, namespace = home): Promise<readonly Manifest[]> {
  const args = ['template', release, chart, '--namespace', namespace, '--skip-tests'];
  const { code, stdout, stderr } = await helm.run(args, values);
  expect(code, stderr).to.equal(0);
  // Kubernetes reads YAML 1.1, in which 0440 is octal.
  const documents = parseAllDocuments(stdout, { version: '1.1' });
  return documents.map((document) => document.toJS() as Manifest | null).filter((each) => each !== null);
}

const renderings = new Map<Choice, Promise<readonly Manifest[]>>();

/** What the chart renders for a choice; Helm runs once for each. */
function chosen(choice: Choice): Promise<readonly Manifest[]> {
  const manifests = renderings.get(choice) ?? template(choice.values, choice.overlay.namespace);
  renderings.set(choice, manifests);
  return manifests;
}

/** What a user of kustomize installs: crds/ and deploy/. kustomize takes admission policies for namespaced; kubectl does not. */
async function fromKustomize({ overlay, crds: withCrds = true }: Choice): Promise<readonly Manifest[]> {
  if (!withCrds) return render(overlay);
  const crds = await kubectl(controlPlane(), ['kustomize', join(import.meta.dirname, '../../crds')]);
  return [...parseAllDocuments(crds).map((document): Manifest => document.toJS()), ...(await render(overlay))];
}

/** Without empty lines in texts: kustomize adds some before indented lines, such as those of CEL. */
function byName(manifests: readonly Manifest[]): Record<string, Manifest> {
  const comparable: Manifest[] = JSON.parse(JSON.stringify(manifests).replaceAll(/(\\n)+/g, '\\n'));
  const named = comparable.map((object): [string, Manifest] => {
    const { namespace = '', ...metadata } = object.metadata;
    const clusterWide = object.kind.startsWith('ValidatingAdmissionPolicy');
    return clusterWide
      ? [`${object.kind} ${metadata.name}`, { ...object, metadata }]
      : [`${object.kind} ${namespace}/${metadata.name}`, object];
  });
  return Object.fromEntries(named.toSorted(([a], [b]) => a.localeCompare(b)));
}

describe('The Helm chart', () => {
  it('The chart passes helm lint --strict', async () => {
    const { code, stdout, stderr } = await helm.run(['lint', '--strict', chart]);
    expect(code, stdout + stderr).to.equal(0);
  });

  it('Each value of values.yaml is part of at least one choice', () => {
    const defaults: object = parse(readFileSync(join(chart, 'values.yaml'), 'utf8'));
    const covered = new Set(choices.flatMap(({ values }) => pathsOf(values)));
    const open = pathsOf(defaults).filter((path) => !covered.has(path));
    // Of another map with arbitrary names, a choice sets other names.
    const free = /^(controller|jwks|publishers)\.resources\.|^monitoring\.dashboards\.labels\./;
    expect(open.filter((path) => !free.test(path))).to.deep.equal([]);
  });

  for (const choice of choices) {
    it(`The chart renders the same objects as kustomize for ${choice.choice}`, async () => {
      const [actual, expected] = [byName(await chosen(choice)), byName(await fromKustomize(choice))];
      expect(Object.keys(actual)).to.deep.equal(Object.keys(expected));
      for (const [name, object] of Object.entries(expected)) expect(actual[name], name).to.deep.equal(object);
    });
  }

  it('The chart binds its roles in each of several namespaces and nowhere else', async () => {
    const rendered = await template({ namespaces: ['a', 'b'], publishers: { enabled: true } });
    const bindings = rendered
      .filter(({ kind, metadata }) => kind.endsWith('Binding') && metadata.namespace !== home)
      .filter(({ apiVersion }) => apiVersion.startsWith('rbac'))
      .map(({ kind, metadata: { namespace, name } }) => [kind, namespace, name].join(' '));
    expect(bindings).to.have.members([
      'RoleBinding a lti-key-operator',
      'RoleBinding b lti-key-operator',
      'RoleBinding a lti-key-publisher',
      'RoleBinding b lti-key-publisher',
      'ClusterRoleBinding  lti-key-operator-definition',
      'ClusterRoleBinding  lti-key-operator-identity',
    ]);
  });

  const wrong: readonly (readonly [values: object, message: RegExp])[] = [
    [{ replicas: '2' }, /at '\/replicas': got string, want integer/],
    [{ replica: 2 }, /additional properties 'replica' not allowed/],
    [{ kek: { secretName: '' } }, /at '\/kek\/secretName': minLength: got 0, want 1/],
    [{ kek: { kms: { socket: 'kms.sock' } } }, /at '\/kek\/kms': missing property 'volume'/],
    [{ namespaces: ['Grade_Book'] }, /at '\/namespaces\/0': 'Grade_Book' does not match pattern/],
    [{ jwksPublicURL: 'keys.example.org' }, /at '\/jwksPublicURL': 'keys.example.org' does not match pattern/],
    [{ publishers: { alone: true } }, /at '\/publishers\/enabled': value must be true/],
    [{ publishers: { autoscaling: { enabled: true } } }, /at '\/publishers\/enabled': value must be true/],
    [{ podLabels: { 'ltikeys.dev/serves': 'x' } }, /at '\/podLabels\/ltikeys\.dev~1serves': false schema/],
    [{ podLabels: { 'app.kubernetes.io/name': 'x' } }, /at '\/podLabels\/app\.kubernetes\.io~1name': false schema/],
    [{ ingress: { enabled: true, host: 'https://a', tlsSecretName: 'a' } }, /at '\/ingress\/host': .*does not match/],
    [{ ingress: { enabled: true } }, /at '\/ingress\/host': minLength: got 0, want 1/],
    [{ controller: { resources: { limit: {} } } }, /additional properties 'limit' not allowed/],
  ];
  for (const [values, message] of wrong) {
    it(`The chart refuses ${JSON.stringify(values)} and names the value`, async () => {
      const { code, stderr } = await helm.run(['template', release, chart], values);
      expect(code).not.to.equal(0);
      expect(stderr).to.match(message);
    });
  }
});

describe('helm test of the chart', () => {
  it('The test Pod succeeds if the Service answers 404, and fails if it answers 503 or not at all', async () => {
    const args = ['template', release, chart, '--namespace', home, '--show-only', 'templates/tests/jwks.yaml'];
    const { stdout } = await helm.run(args);
    const { containers } = parseAllDocuments(stdout)[0]!.toJS().spec;
    const [{ command, env }]: [{ command: string[]; env: { name: string; value: string }[] }] = containers;
    expect(env).to.deep.equal([
      {
        name: 'JWKS_URL',
        value: `http://lti-key-operator-jwks.${home}.svc/registrations/${home}/lti-key-operator-test/jwks.json`,
      },
    ]);

    let status = 404;
    const server = createServer((_request, response) => response.writeHead(status).end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const ask = (): Promise<number> =>
      new Promise((resolve) => {
        const options = { env: { ...process.env, JWKS_URL: url } };
        execFile(process.execPath, command.slice(1), options, (error) => resolve(Number(error?.code ?? 0)));
      });
    expect(await ask()).to.equal(0);
    status = 503;
    expect(await ask()).to.equal(1);
    server.close();
    server.closeAllConnections();
    expect(await ask()).to.equal(1);
  });
});

describe('The Helm chart on an API server', () => {
  let plane: ControlPlane;
  let there: Helm;
  const namespace = 'keys-system';
  const crd = 'customresourcedefinition/ltiregistrations.ltikeys.dev';

  const mustHelm = async (args: readonly string[], values: object = {}): Promise<string> => {
    const { code, stdout, stderr } = await there.run([...args, '--namespace', namespace], values);
    expect(code, stderr).to.equal(0);
    return stdout;
  };

  before(async () => {
    plane = await startControlPlane();
    there = await Helm.for(plane);
  });
  after(async () => {
    there.remove();
    await plane.stop();
  });

  it('The API server accepts every object that the chart renders for any choice', async () => {
    for (const each of [home, namespace, 'gradebook']) await kubectl(plane, ['create', 'namespace', each]);
    await kubectl(
      plane,
      ['apply', '--filename', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: monitors }),
    );
    await kubectl(plane, [
      'wait',
      '--for=condition=Established',
      ...monitors.map(({ metadata }) => `crd/${metadata.name}`),
    ]);
    const distinct = new Map<string, Manifest>();
    for (const choice of choices) {
      for (const object of await chosen(choice)) distinct.set(JSON.stringify(object), object);
    }
    const items = [...distinct.values()];
    expect(items.map(({ kind }) => kind)).to.include.members([
      'PodMonitor',
      'PrometheusRule',
      'Ingress',
      'RoleBinding',
      'NetworkPolicy',
      'ValidatingAdmissionPolicy',
      'HorizontalPodAutoscaler',
    ]);
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
    // An established CRD may still answer 404 for a moment.
    await eventually('the API server accepts all of them', () =>
      kubectl(plane, ['apply', '--dry-run=server', '--filename', '-'], list),
    );
  });

  it('helm install creates the CRDs and tells how to create the key-encryption key', async () => {
    const notes = await mustHelm(['install', release, chart]);
    expect(notes).to.include(
      `kubectl create secret generic lti-key-operator-kek --namespace ${namespace} --from-file=k1`,
    );
    await kubectl(plane, ['wait', '--for=condition=Established', crd]);
    await kubectl(plane, ['get', 'deployment', 'lti-key-operator', '--namespace', namespace]);
  });

  it('helm upgrade updates the CRDs and adds the publishers', async () => {
    const columns = '/spec/versions/0/additionalPrinterColumns';
    await kubectl(plane, ['patch', crd, '--type=json', `--patch=[{"op":"remove","path":"${columns}"}]`]);
    await mustHelm(['upgrade', release, chart], { publishers: { enabled: true } });
    expect(
      await kubectl(plane, ['get', crd, '--output=jsonpath={.spec.versions[0].additionalPrinterColumns}']),
    ).to.include('Ready');
    await kubectl(plane, ['get', 'deployment', 'lti-key-publisher', '--namespace', namespace]);
  });

  it('helm uninstall leaves the CRDs and the registrations, and the chart can be installed again', async () => {
    await kubectl(plane, ['apply', '--filename', '-'], JSON.stringify(registration('gradebook', 'canvas')));
    await mustHelm(['uninstall', release]);
    const left = await kubectl(plane, [
      'get',
      'deployments,serviceaccounts,services',
      '--namespace',
      namespace,
      '--output=name',
    ]);
    expect(left).not.to.include('lti-key');
    const clusterWide = 'clusterroles,clusterrolebindings,validatingadmissionpolicies';
    expect(await kubectl(plane, ['get', clusterWide, '--output=name'])).not.to.include('lti-key');
    await kubectl(plane, ['get', 'ltiregistration', 'canvas', '--namespace=gradebook']);

    await mustHelm(['install', release, chart]);
    await kubectl(plane, ['get', 'ltiregistration', 'canvas', '--namespace=gradebook']);
  });
});

/** The path of each value that is not a map, or an empty one, as `image.tag`. */
function pathsOf(values: object, prefix = ''): string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    const path = prefix + name;
    const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
    return [path, ...(isMap ? pathsOf(value, `${path}.`) : [])];
  });
}

/** Of the Prometheus Operator, without their schemas. */
const monitors = [
  { kind: 'PodMonitor', plural: 'podmonitors' },
  { kind: 'PrometheusRule', plural: 'prometheusrules' },
].map(({ kind, plural }) => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${plural}.monitoring.coreos.com` },
  spec: {
    group: 'monitoring.coreos.com',
    scope: 'Namespaced',
    names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
}));
