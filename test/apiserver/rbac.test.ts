import { join } from 'node:path';
import { expect } from 'chai';
import { controlPlane, createNamespace, installCrds } from '../fixtures/control-plane.ts';
import { apply, type Overlay, render } from '../fixtures/rendered.ts';

const account = (name: string): string => `system:serviceaccount:lti-key-operator:${name}`;
const rbac = /^(ServiceAccount|(Cluster)?Role(Binding)?)$/;

/** What the operator needs in a namespace that it works in. */
const work = [
  'ltiregistrations.ltikeys.dev: get list watch',
  'ltiregistrations.ltikeys.dev/status: update',
  'ltikeys.ltikeys.dev: get list watch create delete',
  'ltikeys.ltikeys.dev/status: update',
  'secrets: get create update delete',
  'events.events.k8s.io: create',
];
/** What it needs in its own, whatever namespaces it works in. */
const home = [
  'leases.coordination.k8s.io: create',
  'leases.coordination.k8s.io lti-key-operator: get update',
  'endpointslices.discovery.k8s.io: list watch',
  'secrets: create',
  'secrets lti-key-operator-kek-canaries: get update',
];
/** The same in every namespace, as can-i reports it. */
const definition = ['customresourcedefinitions.apiextensions.k8s.io ltiregistrations.ltikeys.dev: get'];
const publisher = ['ltikeys.ltikeys.dev: get list watch'];

interface Expected {
  readonly kustomization: string;
  readonly overlay: Overlay;
  /** By account and namespace. */
  readonly rights: readonly (readonly [who: string, namespace: string, rights: readonly string[]])[];
}

const cases: readonly Expected[] = [
  {
    kustomization: 'deploy',
    overlay: {},
    rights: [
      ['lti-key-operator', 'lti-key-operator', [...work, ...home, ...definition]],
      ['lti-key-operator', 'gradebook', [...work, ...definition]],
      ['lti-key-operator', 'default', [...work, ...definition]],
    ],
  },
  {
    kustomization: 'deploy with deploy/publisher',
    overlay: { components: ['deploy/publisher'] },
    rights: [
      ['lti-key-operator', 'lti-key-operator', [...work, ...home, ...definition]],
      ['lti-key-operator', 'default', [...work, ...definition]],
      ['lti-key-publisher', 'lti-key-operator', publisher],
      ['lti-key-publisher', 'default', publisher],
    ],
  },
  {
    kustomization: 'deploy with deploy/one-namespace',
    overlay: { components: ['deploy/one-namespace'] },
    rights: [
      ['lti-key-operator', 'lti-key-operator', [...home, ...definition]],
      ['lti-key-operator', 'gradebook', [...work, ...definition]],
      ['lti-key-operator', 'default', definition],
    ],
  },
];

async function kubectl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await controlPlane().kubectlRun(args);
  expect(code, stderr).to.equal(0);
  return stdout;
}

/** As `secrets lti-key-operator-kek-canaries get`; the rights that the API server reports for a user in a namespace. */
async function rightsOf(user: string, namespace: string): Promise<ReadonlySet<string>> {
  const groups = ['system:serviceaccounts', 'system:authenticated'].map((group) => `--as-group=${group}`);
  const list = ['auth', 'can-i', '--list', '--no-headers', `--namespace=${namespace}`, `--as=${user}`, ...groups];
  const rights = new Set<string>();
  for (const line of (await kubectl(...list)).trim().split('\n')) {
    const [, resource = '', urls = '', names = '', verbs = ''] =
      /^(\S*) +\[(.*?)\] +\[(.*?)\] +\[(.*?)\]$/.exec(line) ?? expect.fail(line);
    for (const verb of verbs.split(' ')) {
      for (const name of names.split(' ')) rights.add([resource, urls, name, verb].filter(Boolean).join(' '));
    }
  }
  return rights;
}

const flat = (rights: readonly string[]): readonly string[] =>
  rights.flatMap((right) => {
    const [what = '', verbs = ''] = right.split(': ');
    return verbs.split(' ').map((verb) => `${what} ${verb}`);
  });

describe('The rights that a rendered kustomization grants', () => {
  let everyAccount: ReadonlySet<string>;

  before(async () => {
    await installCrds();
    const namespace = join(import.meta.dirname, '../../deploy/namespace.yaml');
    await kubectl('apply', `--filename=${namespace}`);
    await apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'gradebook' } }]);
    const other = await createNamespace('rights');
    everyAccount = await rightsOf(`system:serviceaccount:${other}:default`, other);
  });
  after(async () => {
    await kubectl('delete', 'rolebinding', 'lti-key-operator', '--namespace=gradebook', '--ignore-not-found');
    await apply((await render({})).filter(({ kind }) => rbac.test(kind)));
  });

  for (const { kustomization, overlay, rights } of cases) {
    describe(kustomization, () => {
      before(async () => {
        await kubectl('delete', 'clusterrolebinding', 'lti-key-operator', 'lti-key-publisher', '--ignore-not-found');
        await apply((await render(overlay)).filter(({ kind }) => rbac.test(kind)));
      });

      for (const [name, namespace, expected] of rights) {
        it(`The account ${name} has exactly the rights that it needs in the namespace ${namespace}`, async () => {
          const wanted = [...new Set(flat(expected))].toSorted();
          let granted: readonly string[] = [];
          // The API server takes a moment to see new bindings.
          for (const deadline = Date.now() + 60_000; granted.join() !== wanted.join() && Date.now() < deadline;) {
            const all = await rightsOf(account(name), namespace);
            granted = [...all].filter((right) => !everyAccount.has(right)).toSorted();
          }
          expect(granted).to.deep.equal(wanted);
        });
      }
    });
  }

  describe('deploy with deploy/one-namespace, by name', () => {
    it('The operator for one namespace may write its canaries and read no other Secret of its namespace', async () => {
      const own = ['--namespace=lti-key-operator', `--as=${account('lti-key-operator')}`];
      for (const [verb, what, answer] of [
        ['create', 'secrets', 'yes'],
        ['get', 'secrets/lti-key-operator-kek-canaries', 'yes'],
        ['update', 'secrets/lti-key-operator-kek-canaries', 'yes'],
        ['delete', 'secrets/lti-key-operator-kek-canaries', 'no'],
        ['get', 'secrets/lti-key-operator-kek', 'no'],
        ['list', 'secrets', 'no'],
      ] as const) {
        const { stdout } = await controlPlane().kubectlRun(['auth', 'can-i', verb, what, ...own]);
        expect(stdout.trim(), `${verb} ${what}`).to.equal(answer);
      }
    });
  });
});
