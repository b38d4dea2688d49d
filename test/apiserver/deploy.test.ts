import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parse, parseAllDocuments } from 'yaml';
import { parseConfig } from '../../src/config.ts';
import { commands } from '../../src/option-table.ts';
import { controlPlane, createNamespace, installCrds } from '../fixtures/control-plane.ts';
import { until } from '../fixtures/operator.ts';
import { rawRequest, type Answer } from '../fixtures/raw-api.ts';
import { overlayFolder, render } from '../fixtures/rendered.ts';

const root = new URL('../../', import.meta.url);
const file = (path: string): string => fileURLToPath(new URL(path, root));
const read = (path: string): string => readFileSync(file(path), 'utf8');

async function kubectl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await controlPlane().kubectlRun(args);
  expect(code, stderr).to.equal(0);
  // Warnings, such as those of Pod Security, are on stderr and leave the code at 0.
  expect(stderr).to.equal('');
  return stdout;
}

before(async () => {
  await installCrds();
  await kubectl('apply', '--filename', file('deploy/namespace.yaml'));
});

describe('The image', () => {
  it('The image starts every command with the SIGUSR1 inspector disabled', () => {
    expect(read('Dockerfile')).to.match(/^ENTRYPOINT \["node", "--disable-sigusr1", /m);
    for (const path of ['deploy/deployment.yaml', 'deploy/publisher/deployment.yaml']) {
      const { containers }: { containers: { name: string; command?: string[] }[] } = parse(read(path)).spec.template
        .spec;
      for (const { name, command } of containers) {
        if (command !== undefined)
          expect(command.slice(0, 2), `${path} ${name}`).to.deep.equal(['node', '--disable-sigusr1']);
      }
    }
  });
});

describe('kubectl apply --dry-run=server', () => {
  it('The API server accepts deploy/ without a warning once its namespace exists', async () => {
    const output = await kubectl('apply', '--dry-run=server', '--kustomize', file('deploy'));
    expect(output).to.match(/^deployment.apps\/lti-key-operator created/m);
  });

  it('kubectl delete of deploy/ leaves the CRDs, the namespace and every Secret in the cluster', async () => {
    const output = await kubectl('delete', '--dry-run=client', '--ignore-not-found', '--kustomize', file('deploy'));
    expect(output).not.to.match(/^(customresourcedefinition|namespace|secret)/im);
    for (const path of ['crds/ltiregistrations.yaml', 'crds/ltikeys.yaml', 'deploy/namespace.yaml']) {
      const { annotations }: { annotations: Record<string, string> } = parse(read(path)).metadata;
      expect(annotations, path).to.include({
        'argocd.argoproj.io/sync-options': 'Prune=false,Delete=false',
        'kustomize.toolkit.fluxcd.io/prune': 'disabled',
      });
    }
  });

  it('The API server accepts the publisher with autoscaling, and alone in the Service, on top of deploy/', async () => {
    for (const more of ['deploy/publisher/autoscaling', 'deploy/publisher/alone']) {
      const withPublisher = overlayFolder({ components: ['deploy/publisher', more] });
      await kubectl('apply', '--dry-run=server', '--kustomize', withPublisher);
    }
  });

  it('The API server accepts the operator for one namespace', async () => {
    await kubectl('apply', '--filename', file('deploy/samples/namespace.yaml'));
    const folder = overlayFolder({ components: ['deploy/one-namespace'] });
    const output = await kubectl('apply', '--dry-run=server', '--output=json', '--kustomize', folder);
    const { items }: { items: { kind: string; metadata: { name: string } }[] } = JSON.parse(output);
    const bindings = items.filter(({ kind }) => kind === 'ClusterRoleBinding').map(({ metadata }) => metadata.name);
    // The first grants a read of one CustomResourceDefinition, the second nothing (deploy/admission-policy.yaml).
    expect(bindings).to.have.members(['lti-key-operator-definition', 'lti-key-operator-identity']);
    expect(output).to.include('"--namespace=gradebook"');
  });

  it('The API server accepts the Ingress', async () => {
    await kubectl('apply', '--dry-run=server', '--filename', file('deploy/ingress/ingress.yaml'));
  });

  it('The API server accepts the samples, one registration per platform', async () => {
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

  it('The operator has no wildcard right, cannot escalate, and cannot list or watch Secrets', () => {
    const flat = rules.flatMap((r) => r.resources.flatMap((resource) => r.verbs.map((verb) => `${verb} ${resource}`)));
    expect(flat).to.include('get secrets');
    expect(
      flat.filter((right) => /\*|escalate|bind|impersonate|(list|watch) secrets|pods|nodes/.test(right)),
    ).to.deep.equal([]);
  });

  it('Each rule in rbac.yaml has a comment that names the existing files that need it', () => {
    const blocks = read('deploy/rbac.yaml').match(/((?: {2}#.*\n)*) {2}- apiGroups:/g) ?? [];
    expect(blocks).to.have.length(rules.length);
    for (const block of blocks) {
      const named = block.match(/src\/[\w/-]+\.ts/g) ?? [];
      expect(named, block).to.not.deep.equal([]);
      for (const path of named) expect(existsSync(file(path)), path).to.equal(true);
    }
  });
});

describe('The Service during a move to publishers', () => {
  const steps: readonly (readonly [components: readonly string[], selected: readonly string[]])[] = [
    [[], ['lti-key-operator']],
    [['deploy/publisher'], ['lti-key-operator', 'lti-key-publisher']],
    [['deploy/publisher', 'deploy/publisher/alone'], ['lti-key-publisher']],
  ];

  for (const [components, expected] of steps) {
    it(`The Service selects the Pods of ${expected.join(' and ')} with ${['deploy', ...components].join(', ')}`, async () => {
      const rendered = await render({ components });
      const service = rendered.find(({ kind }) => kind === 'Service')?.['spec'] as { selector: Record<string, string> };
      const selected = rendered.filter(({ kind, spec }) => {
        if (kind !== 'Deployment') return false;
        const { labels } = (spec as { template: { metadata: { labels: Record<string, string> } } }).template.metadata;
        return Object.entries(service.selector).every(([name, value]) => labels[name] === value);
      });
      expect(selected.map(({ metadata }) => metadata.name)).to.have.members(expected);
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

  it('The publisher Deployment runs the same jwks container as the operator Deployment', () => {
    const jwks = container('deploy/publisher/deployment.yaml', 'jwks');
    expect(jwks).to.deep.equal(container('deploy/deployment.yaml', 'jwks'));
  });

  it('The publisher Deployment starts the publisher with valid options and without a key-encryption key', () => {
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
    readonly env?: readonly { readonly name: string; readonly value?: string }[];
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

  it('The Deployment runs two replicas of a controller and a jwks container', () => {
    expect(deployment.spec.replicas).to.equal(2);
    expect(pod.containers.map(({ name, args }) => [name, args[0]])).to.deep.equal([
      ['controller', 'controller'],
      ['jwks', 'jwks'],
    ]);
  });

  it('The Deployment starts its containers with valid options', () => {
    for (const { args } of pod.containers) {
      const command = commands.find((name) => name === args[0])!;
      expect(() => parseConfig(command, args.slice(1))).to.not.throw();
    }
  });

  it('The Deployment gives the API token and the key-encryption key only to the controller', () => {
    expect(pod.automountServiceAccountToken).to.equal(false);
    expect(mounts('controller')).to.deep.equal({ 'api-token': 'ro', kek: 'ro', publish: 'rw' });
    expect(mounts('jwks')).to.deep.equal({ publish: 'ro' });
    const env = pod.containers.find(({ name }) => name === 'jwks')?.env;
    expect(env?.map(({ name }) => name)).to.deep.equal(['MALLOC_MMAP_THRESHOLD_']);
  });

  it('The Deployments bound the heap of the container beside jwks well below its memory limit', () => {
    for (const path of ['deploy/deployment.yaml', 'deploy/publisher/deployment.yaml']) {
      const [{ env, resources }]: [Container & { resources: { limits: { memory: string } } }] = parse(read(path)).spec
        .template.spec.containers;
      const options = env?.find(({ name }) => name === 'NODE_OPTIONS')?.value ?? '';
      const heap = Number(/--max-old-space-size=(\d+)/.exec(options)?.[1]);
      expect(heap, path).to.be.within(256, Number.parseInt(resources.limits.memory) - 160);
    }
  });

  it('The Deployment publishes from memory and starts without a key-encryption key', () => {
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

  it('The Deployment makes Pods that satisfy the restricted Pod Security standard', async () => {
    await kubectl('apply', '--filename', file('deploy/serviceaccount.yaml'));
    expect(await tryPod(pod.containers)).to.deep.equal({ code: 201, message: '' });

    const lax = pod.containers.map((c) => ({ ...c, securityContext: { allowPrivilegeEscalation: true } }));
    const { code, message } = await tryPod(lax);
    expect(code).to.equal(403);
    expect(message).to.contain('violates PodSecurity "restricted:latest"');
  });
});

describe('The roles for tenants', () => {
  let namespace = '';

  before(async () => {
    await kubectl('apply', '--filename', file('deploy/tenant-rbac.yaml'));
    namespace = await createNamespace('tenant');
    for (const role of ['view', 'edit']) {
      await kubectl('create', 'rolebinding', role, '--namespace', namespace, `--clusterrole=${role}`, `--user=${role}`);
    }
    const binding = ['create', 'rolebinding', 'tool', '--clusterrole=lti-key-operator-edit', '--user=tool'];
    await kubectl(...binding, '--namespace', namespace);
    await aggregated();
  });

  const canI = async (user: string, verb: string, resource: string): Promise<string> => {
    const args = ['auth', 'can-i', verb, resource, '--namespace', namespace, `--as=${user}`];
    return (await controlPlane().kubectlRun(args)).stdout.trim();
  };

  /** A controller copies the rules into `view` and `edit`, one after the other, and the API server takes a moment to see each binding. */
  async function aggregated(): Promise<void> {
    for (const [user, verb] of [
      ['view', 'list'],
      ['edit', 'create'],
      ['tool', 'create'],
    ] as const) {
      const reached = async (): Promise<boolean> => (await canI(user, verb, 'ltiregistrations.ltikeys.dev')) === 'yes';
      await until(reached, `the rules for tenants reach the user ${user}`);
    }
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

  it('The tenant roles do not let a user with edit update a status', async () => {
    const args = ['auth', 'can-i', 'update', 'ltiregistrations.ltikeys.dev', '--subresource=status', '--as=edit'];
    const { stdout } = await controlPlane().kubectlRun([...args, '--namespace', namespace]);
    expect(stdout.trim()).to.equal('no');
  });

  it('The role lti-key-operator-edit alone lets kubectl apply, patch, edit and delete a registration', async () => {
    const own = ['--namespace', namespace, '--as=tool'];
    const canvas = (clientID: string): string =>
      JSON.stringify({
        apiVersion: 'ltikeys.dev/v1alpha1',
        kind: 'LtiRegistration',
        metadata: { name: 'canvas' },
        spec: { issuer: 'https://canvas.example.org', clientID },
      });
    for (const [args, input] of [
      [['apply', '--filename=-'], canvas('1')],
      [['apply', '--filename=-'], canvas('2')],
      [['patch', 'lti', 'canvas', '--type=merge', '--patch={"spec":{"suspend":true}}'], undefined],
      [['get', 'lti', 'canvas'], undefined],
      [['get', 'ltikeys'], undefined],
      [['delete', 'lti', 'canvas', '--timeout=60s'], undefined],
    ] as const) {
      const { code, stderr } = await controlPlane().kubectlRun([...args, ...own], input === undefined ? {} : { input });
      expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    }
  });

  for (const [user, verb, resource, answer] of rights) {
    it(`The tenant roles ${answer === 'yes' ? 'let' : 'do not let'} a user with ${user} ${verb} ${resource}`, async () => {
      expect(await canI(user, verb, resource)).to.equal(answer);
    });
  }
});
