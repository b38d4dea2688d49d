import { existsSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parse, parseAllDocuments } from 'yaml';
import { commands, parseConfig } from '../../src/config.ts';
import { applyManifest, controlPlane, createNamespace, installCrds } from './bed.ts';
import { rawRequest, type Answer } from './raw-api.ts';

const root = new URL('../../', import.meta.url);
const file = (path: string): string => fileURLToPath(new URL(path, root));
const read = (path: string): string => readFileSync(file(path), 'utf8');

const operator = 'system:serviceaccount:lti-key-operator:lti-key-operator';

async function kubectl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await controlPlane().kubectlRun(args);
  expect(code, stderr).to.equal(0);
  // Warnings, such as those of Pod Security, are on stderr and leave the code at 0.
  expect(stderr).to.equal('');
  return stdout;
}

async function apply(manifest: object): Promise<void> {
  const { code, stderr } = await applyManifest(JSON.stringify(manifest));
  expect(code, stderr).to.equal(0);
}

/** A kustomization as an installer writes it: the operator, and components of deploy/. */
function withComponents(...names: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'kustomize-'));
  const from = (path: string): string => relative(realpathSync(folder), file(path));
  const components = names.map(from);
  writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify({ resources: [from('deploy')], components }));
  return folder;
}

before(async function () {
  this.timeout(60_000);
  await installCrds();
  await kubectl('apply', '--filename', file('deploy/namespace.yaml'));
});

describe('kubectl apply --dry-run=server', () => {
  it('accepts deploy/ without a warning, once its namespace is there', async () => {
    const output = await kubectl('apply', '--dry-run=server', '--kustomize', file('deploy'));
    expect(output).to.match(/^deployment.apps\/lti-key-operator created/m);
  });

  it('accepts the publisher and its autoscaling on top of deploy/, and turns the Service to it', async () => {
    const withPublisher = withComponents('deploy/publisher', 'deploy/publisher/autoscaling');
    const output = await kubectl('apply', '--dry-run=server', '--output=json', '--kustomize', withPublisher);
    const { items }: { items: { kind: string; metadata: { name: string }; spec: { selector?: unknown } }[] } =
      JSON.parse(output);
    const found = (kind: string, name: string) => items.find((i) => i.kind === kind && i.metadata.name === name);
    expect(found('Deployment', 'lti-key-publisher')).to.be.an('object');
    expect(found('HorizontalPodAutoscaler', 'lti-key-publisher')).to.be.an('object');
    expect(found('Service', 'lti-key-operator-jwks')?.spec.selector).to.deep.equal({
      'app.kubernetes.io/name': 'lti-key-publisher',
    });
  });

  it('accepts the operator for one namespace, which has no rights in another', async () => {
    await apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'gradebook' } });
    const folder = withComponents('deploy/one-namespace');
    const output = await kubectl('apply', '--dry-run=server', '--output=json', '--kustomize', folder);
    const { items }: { items: { kind: string }[] } = JSON.parse(output);
    expect(items.map(({ kind }) => kind)).to.not.include('ClusterRoleBinding');
    expect(output).to.include('"--namespace=gradebook"');

    await kubectl('apply', '--filename', file('deploy/rbac.yaml'));
    await kubectl('delete', 'clusterrolebinding', 'lti-key-operator');
    await kubectl('apply', '--filename', file('deploy/one-namespace/rolebinding.yaml'));
    const rights = async (namespace: string): Promise<readonly string[]> =>
      Promise.all(
        ['get secrets', 'create ltikeys.ltikeys.dev', 'watch ltiregistrations.ltikeys.dev'].map(async (what) => {
          const args = ['auth', 'can-i', ...what.split(' '), '--namespace', namespace, `--as=${operator}`];
          return (await controlPlane().kubectlRun(args)).stdout.trim();
        }),
      );
    expect(await rights('gradebook')).to.deep.equal(['yes', 'yes', 'yes']);
    expect(await rights('default')).to.deep.equal(['no', 'no', 'no']);
    await kubectl('apply', '--filename', file('deploy/rbac.yaml'));
    expect(await rights('default')).to.deep.equal(['yes', 'yes', 'yes']);
  });

  it('accepts the Ingress', async () => {
    await kubectl('apply', '--dry-run=server', '--filename', file('deploy/ingress/ingress.yaml'));
  });

  it('accepts the samples, one registration per platform', async () => {
    await kubectl('apply', '--filename', file('deploy/samples/namespace.yaml'));
    const output = await kubectl('apply', '--dry-run=server', '--output=json', '--kustomize', file('deploy/samples'));
    const { items }: { items: { spec: { platform?: string } }[] } = JSON.parse(output);
    const platforms = items.flatMap(({ spec }) => spec.platform ?? []);
    expect(platforms).to.have.members(['Canvas', 'Moodle', 'Blackboard', 'Brightspace', 'Sakai', 'OpenEdX']);
  });
});

describe('The rights of the operator', () => {
  interface Rule {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
  }

  const roles: { kind: string; rules?: readonly Rule[] }[] = parseAllDocuments(read('deploy/rbac.yaml')).map((d) =>
    d.toJS(),
  );
  const rules = roles.flatMap((role) => role.rules ?? []);

  before(async () => {
    await kubectl('apply', '--filename', file('deploy/serviceaccount.yaml'), '--filename', file('deploy/rbac.yaml'));
  });

  it('have no wildcard, no way to more rights, and no list or watch of Secrets', () => {
    const flat = rules.flatMap((r) => r.resources.flatMap((resource) => r.verbs.map((verb) => `${verb} ${resource}`)));
    expect(flat).to.include('get secrets');
    expect(
      flat.filter((right) => /\*|escalate|bind|impersonate|(list|watch) secrets|pods|nodes/.test(right)),
    ).to.deep.equal([]);
  });

  it('each come with a comment that names the files that need them, and these exist', () => {
    const blocks = read('deploy/rbac.yaml').match(/((?: {2}#.*\n)*) {2}- apiGroups:/g) ?? [];
    expect(blocks).to.have.length(rules.length);
    for (const block of blocks) {
      const named = block.match(/src\/[\w/-]+\.ts/g) ?? [];
      expect(named, block).to.not.deep.equal([]);
      for (const path of named) expect(existsSync(file(path)), path).to.equal(true);
    }
  });

  const can: readonly (readonly [verb: string, resource: string, allowed: boolean])[] = [
    ['get', 'secrets', true],
    ['update', 'secrets', true],
    ['list', 'secrets', false],
    ['watch', 'secrets', false],
    ['watch', 'ltikeys.ltikeys.dev', true],
    ['create', 'ltikeys.ltikeys.dev', true],
    ['update', 'ltikeys.ltikeys.dev', false],
    ['update', 'ltiregistrations.ltikeys.dev', false],
    ['delete', 'ltiregistrations.ltikeys.dev', false],
    ['get', 'configmaps', false],
    ['list', 'endpointslices.discovery.k8s.io', false],
    ['get', 'leases.coordination.k8s.io', false],
  ];

  for (const [verb, resource, allowed] of can) {
    it(`${allowed ? 'let it' : 'do not let it'} ${verb} ${resource} in a tenant's namespace`, async () => {
      const args = ['auth', 'can-i', verb, resource, '--namespace=default', `--as=${operator}`];
      const { stdout } = await controlPlane().kubectlRun(args);
      expect(stdout.trim()).to.equal(allowed ? 'yes' : 'no');
    });
  }
});

describe('The rights of the publisher', () => {
  const publisher = 'system:serviceaccount:lti-key-operator:lti-key-publisher';

  before(() => kubectl('apply', '--filename', file('deploy/publisher/rbac.yaml')));

  for (const [verb, resource, allowed] of [
    ['watch', 'ltikeys.ltikeys.dev', true],
    ['get', 'ltikeys.ltikeys.dev', true],
    ['create', 'ltikeys.ltikeys.dev', false],
    ['delete', 'ltikeys.ltikeys.dev', false],
    ['get', 'ltiregistrations.ltikeys.dev', false],
    ['get', 'secrets', false],
    ['get', 'configmaps', false],
  ] as const) {
    it(`${allowed ? 'let it' : 'do not let it'} ${verb} ${resource}`, async () => {
      const args = ['auth', 'can-i', verb, resource, '--namespace=lti-key-operator', `--as=${publisher}`];
      const { stdout } = await controlPlane().kubectlRun(args);
      expect(stdout.trim()).to.equal(allowed ? 'yes' : 'no');
    });
  }
});

describe('The Deployment of the publisher', () => {
  interface Pod {
    readonly spec: {
      readonly containers: readonly { readonly name: string; readonly args: readonly string[] }[];
    };
  }

  const templateOf = (path: string): Pod => parse(read(path)).spec.template;
  const container = (path: string, name: string) => templateOf(path).spec.containers.find((each) => each.name === name);

  it('runs the same jwks container as the operator’s', () => {
    const jwks = container('deploy/publisher/deployment.yaml', 'jwks');
    expect(jwks).to.deep.equal(container('deploy/deployment.yaml', 'jwks'));
  });

  it('starts the publisher with options it has, without a key-encryption key', () => {
    const [command, ...args] = container('deploy/publisher/deployment.yaml', 'publisher')?.args ?? [];
    expect(command).to.equal('publisher');
    expect(() => parseConfig('publisher', args)).to.not.throw();
    expect(read('deploy/publisher/deployment.yaml')).not.to.match(/kek|secret:/i);
  });
});

describe('The Deployment', () => {
  interface Container {
    readonly name: string;
    readonly args: readonly string[];
    readonly env?: readonly { readonly name: string }[];
    readonly volumeMounts: readonly { readonly name: string; readonly readOnly?: boolean }[];
    securityContext: object;
  }

  interface PodSpec {
    readonly containers: readonly Container[];
    readonly automountServiceAccountToken: boolean;
    readonly volumes: readonly { readonly name: string; readonly secret?: object; readonly emptyDir?: object }[];
  }

  const deployment: { spec: { replicas: number; template: { metadata: object; spec: PodSpec } } } = parse(
    read('deploy/deployment.yaml'),
  );
  const pod = deployment.spec.template.spec;
  const mounts = (name: string): Record<string, 'ro' | 'rw'> =>
    Object.fromEntries(
      pod.containers
        .filter((c) => c.name === name)
        .flatMap((c) => c.volumeMounts.map((mount) => [mount.name, mount.readOnly ? 'ro' : 'rw'])),
    );

  const volume = (name: string) => pod.volumes.find((v) => v.name === name);

  it('runs a controller and a jwks container, twice', () => {
    expect(deployment.spec.replicas).to.equal(2);
    expect(pod.containers.map(({ name, args }) => [name, args[0]])).to.deep.equal([
      ['controller', 'controller'],
      ['jwks', 'jwks'],
    ]);
  });

  it('starts them with options they have', () => {
    for (const { args } of pod.containers) {
      const command = commands.find((name) => name === args[0])!;
      expect(() => parseConfig(command, args.slice(1))).to.not.throw();
    }
  });

  it('gives the API token and the key-encryption key to the controller alone', () => {
    expect(pod.automountServiceAccountToken).to.equal(false);
    expect(mounts('controller')).to.deep.equal({ 'api-token': 'ro', kek: 'ro', publish: 'rw' });
    expect(mounts('jwks')).to.deep.equal({ publish: 'ro' });
    const env = pod.containers.find(({ name }) => name === 'jwks')?.env;
    expect(env?.map(({ name }) => name)).to.deep.equal(['MALLOC_ARENA_MAX', 'MALLOC_MMAP_THRESHOLD_']);
  });

  it('publishes without a key-encryption key, and from memory', () => {
    expect(volume('kek')?.secret).to.include({ secretName: 'lti-key-operator-kek', optional: true });
    expect(volume('publish')?.emptyDir).to.include({ medium: 'Memory' });
  });

  const tryPod = async (containers: readonly Container[]): Promise<Answer> =>
    rawRequest('POST', '/api/v1/namespaces/lti-key-operator/pods?dryRun=All', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...deployment.spec.template.metadata, name: 'try' },
      // yaml reads 0440 as a decimal number, kubectl as octal.
      spec: { ...pod, containers, volumes: JSON.parse(JSON.stringify(pod.volumes).replaceAll('440', '288')) },
    });

  it('makes Pods that satisfy the restricted Pod Security standard, which its namespace enforces', async () => {
    await kubectl('apply', '--filename', file('deploy/serviceaccount.yaml'));
    expect(await tryPod(pod.containers)).to.deep.equal({ code: 201, message: '' });

    const lax = pod.containers.map((c) => ({ ...c, securityContext: { allowPrivilegeEscalation: true } }));
    const { code, message } = await tryPod(lax);
    expect(code).to.equal(403);
    expect(message).to.contain('violates PodSecurity "restricted:latest"');
  });
});

function expectForbidden({ code, message }: Answer): void {
  expect(code, message).to.equal(403);
  expect(message).to.contain('only the LTI key operator writes LtiKeys and statuses').and.contain('rotationTrigger');
}

describe('The admission policy', () => {
  const keyID = 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs';
  const publicJWK = { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n: 'u'.repeat(342), e: 'AQAB' };
  const key = (name: string): object => ({
    apiVersion: 'ltikeys.dev/v1alpha1',
    kind: 'LtiKey',
    metadata: { name },
    spec: { registrationRef: { name: 'canvas' }, revision: 1, keyID, algorithm: 'RS256', size: 2048, publicJWK },
  });

  let namespace = '';
  let owner = '';
  let operatorKubeconfig = '';

  const send = (method: 'POST' | 'PATCH' | 'DELETE' | 'PUT', path: string, body?: object, as = owner) =>
    rawRequest(method, `/apis/ltikeys.dev/v1alpha1/namespaces/${namespace}/${path}`, body, as);

  before(async function () {
    this.timeout(60_000);
    await kubectl('apply', '--filename', file('deploy/serviceaccount.yaml'), '--filename', file('deploy/rbac.yaml'));
    namespace = await createNamespace('admission');
    await kubectl('label', 'namespace', namespace, 'admission-test=true');
    await kubectl('create', 'serviceaccount', 'owner', '--namespace', namespace);
    const binding = ['create', 'rolebinding', 'owner', '--namespace', namespace];
    await kubectl(...binding, '--clusterrole=cluster-admin', `--serviceaccount=${namespace}:owner`);
    owner = await controlPlane().serviceAccountKubeconfig(namespace, 'owner');
    operatorKubeconfig = await controlPlane().serviceAccountKubeconfig('lti-key-operator', 'lti-key-operator');
    await applyPolicyHere();
  });

  after(() => kubectl('delete', 'validatingadmissionpolicy,validatingadmissionpolicybinding', 'admission-test'));

  /** The policy as it is, bound to this test's namespace only: other tests write LtiKeys as the administrator. */
  async function applyPolicyHere(): Promise<void> {
    const [policy, binding] = parseAllDocuments(read('deploy/admission-policy.yaml')).map((d) => d.toJS());
    await apply({ ...policy, metadata: { name: 'admission-test' } });
    const namespaceSelector = { matchLabels: { 'admission-test': 'true' } };
    await apply({
      ...binding,
      metadata: { name: 'admission-test' },
      spec: { ...binding.spec, policyName: 'admission-test', matchResources: { namespaceSelector } },
    });
    // The API server takes a moment to put a policy into force.
    for (let attempt = 0; attempt < 100; attempt++) {
      if ((await send('POST', 'ltikeys?dryRun=All', key('probe'))).code === 403) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error('The admission policy is not in force after 10 seconds.');
  }

  it('lets the operator write keys and statuses', async () => {
    expect(await send('POST', 'ltikeys', key('canvas-1'), operatorKubeconfig)).to.include({ code: 201 });
    const status = { state: 'Next' };
    const stored = await kubectl('get', 'ltikey', 'canvas-1', '--namespace', namespace, '--output=json');
    const body = { ...JSON.parse(stored), status };
    expect(await send('PUT', 'ltikeys/canvas-1/status', body, operatorKubeconfig)).to.include({ code: 200 });
  });

  it('keeps out everyone else, the owner of the namespace too', async () => {
    expectForbidden(await send('POST', 'ltikeys', key('canvas-2')));
    expectForbidden(await send('PATCH', 'ltikeys/canvas-1', { metadata: { labels: { a: 'b' } } }));
    expectForbidden(await send('PATCH', 'ltikeys/canvas-1/status', { status: { state: 'Active' } }));
    expectForbidden(await send('DELETE', 'ltikeys/canvas-1'));
    expectForbidden(await send('DELETE', 'ltikeys'));
  });

  it('leaves registrations to their owner, but not their status', async () => {
    const registration = {
      apiVersion: 'ltikeys.dev/v1alpha1',
      kind: 'LtiRegistration',
      metadata: { name: 'canvas' },
      spec: { issuer: 'https://canvas.instructure.com' },
    };
    expect(await send('POST', 'ltiregistrations', registration)).to.include({ code: 201 });
    expect(await send('PATCH', 'ltiregistrations/canvas', { spec: { suspend: true } })).to.include({ code: 200 });
    expectForbidden(
      await send('PATCH', 'ltiregistrations/canvas/status', { status: { jwksURL: 'https://evil.example' } }),
    );
  });

  it('keeps out the administrator, who can act as the operator', async () => {
    const args = ['delete', 'ltikey', 'canvas-1', '--namespace', namespace, '--dry-run=server'];
    expect(await controlPlane().kubectlRun(args)).to.include({ code: 1 });
    expect(await controlPlane().kubectlRun([...args, `--as=${operator}`])).to.include({ code: 0 });
  });

  it('lets a namespace be deleted with the keys in it', async function () {
    this.timeout(60_000);
    await kubectl('delete', 'namespace', namespace, '--timeout=50s');
  });
});

describe('The roles for tenants', () => {
  let namespace = '';

  before(async function () {
    this.timeout(60_000);
    await kubectl('apply', '--filename', file('deploy/tenant-rbac.yaml'));
    namespace = await createNamespace('tenant');
    for (const role of ['view', 'edit']) {
      await kubectl('create', 'rolebinding', role, '--namespace', namespace, `--clusterrole=${role}`, `--user=${role}`);
    }
    await aggregated();
  });

  const canI = async (user: string, verb: string, resource: string): Promise<string> => {
    const args = ['auth', 'can-i', verb, resource, '--namespace', namespace, `--as=${user}`];
    return (await controlPlane().kubectlRun(args)).stdout.trim();
  };

  /** A controller copies the rules into `view` and `edit`. */
  async function aggregated(): Promise<void> {
    for (let attempt = 0; attempt < 50; attempt++) {
      if ((await canI('edit', 'create', 'ltiregistrations.ltikeys.dev')) === 'yes') return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error('The rules for tenants did not reach the role edit.');
  }

  const rights: readonly (readonly [user: string, verb: string, resource: string, answer: string])[] = [
    ['view', 'list', 'ltiregistrations.ltikeys.dev', 'yes'],
    ['view', 'watch', 'ltikeys.ltikeys.dev', 'yes'],
    ['view', 'create', 'ltiregistrations.ltikeys.dev', 'no'],
    ['edit', 'list', 'ltikeys.ltikeys.dev', 'yes'],
    ['edit', 'delete', 'ltiregistrations.ltikeys.dev', 'yes'],
    ['edit', 'update', 'ltiregistrations.ltikeys.dev', 'yes'],
    ['edit', 'create', 'ltikeys.ltikeys.dev', 'no'],
    ['edit', 'delete', 'ltikeys.ltikeys.dev', 'no'],
  ];

  it('do not let a user with edit update a status', async () => {
    const args = ['auth', 'can-i', 'update', 'ltiregistrations.ltikeys.dev', '--subresource=status', '--as=edit'];
    const { stdout } = await controlPlane().kubectlRun([...args, '--namespace', namespace]);
    expect(stdout.trim()).to.equal('no');
  });

  for (const [user, verb, resource, answer] of rights) {
    it(`${answer === 'yes' ? 'let' : 'do not let'} a user with ${user} ${verb} ${resource}`, async () => {
      expect(await canI(user, verb, resource)).to.equal(answer);
    });
  }
});
