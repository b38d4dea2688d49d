import { expect } from 'chai';
import type { CommandResult } from '../../dev/control-plane/control-plane.ts';
import { controlPlane, createNamespace, installCrds } from './control-plane-fixture.ts';
import { apply, type Manifest, render } from './rendered.ts';

const admission = new Set(['ValidatingAdmissionPolicy', 'ValidatingAdmissionPolicyBinding']);
export const shipped = 'system:serviceaccount:lti-key-operator:lti-key-operator';
const masters = '--as-group=system:masters';

export const keyID = 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs';
const publicJWK = { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n: 'u'.repeat(342), e: 'AQAB' };
export const ltiKey = (namespace: string, name: string): Manifest => ({
  apiVersion: 'ltikeys.dev/v1alpha1',
  kind: 'LtiKey',
  metadata: { name, namespace },
  spec: { registrationRef: { name: 'canvas' }, revision: 1, keyID, algorithm: 'RS256', size: 2048, publicJWK },
});
export const registration = (namespace: string, name: string): Manifest => ({
  apiVersion: 'ltikeys.dev/v1alpha1',
  kind: 'LtiRegistration',
  metadata: { name, namespace },
  spec: { issuer: 'https://canvas.instructure.com' },
});
export const secret = (namespace: string, name: string, type: string): Manifest => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace },
  type,
  stringData: { a: 'b' },
});

/** What an installer names the operator by, and who else operates in the tenant's namespace. */
export interface Names {
  readonly namePrefix?: string;
  readonly nameSuffix?: string;
  readonly patches?: readonly object[];
  /** Namespaces that are there; without them, new ones. */
  readonly home?: string;
  readonly tenant?: string;
}

/** The policies of one rendering and their parameter, in force in these two namespaces only: other tests write LtiKeys too. */
export class InstalledPolicies {
  readonly home: string;
  readonly tenant: string;
  readonly operator: string;
  readonly identity: readonly Manifest[];
  readonly #policies: readonly Manifest[];

  private constructor(home: string, tenant: string, rendered: readonly Manifest[]) {
    this.home = home;
    this.tenant = tenant;
    const account = rendered.find(({ kind }) => kind === 'ServiceAccount');
    this.operator = `system:serviceaccount:${home}:${account?.metadata.name}`;
    this.identity = rendered.filter(({ metadata }) => /lti-key-operator-identity/.test(metadata.name));
    this.#policies = rendered.filter(({ kind }) => admission.has(kind));
  }

  static async create({ patches = [], ...names }: Names = {}): Promise<InstalledPolicies> {
    await installCrds();
    const { home = await createNamespace('keys-system'), tenant = await createNamespace('tenant'), ...affixes } = names;
    for (const name of [home, tenant]) await succeed(['label', 'namespace', name, `admission-test-${home}=here`]);
    const matchResources = { namespaceSelector: { matchLabels: { [`admission-test-${home}`]: 'here' } } };
    const patch = JSON.stringify([{ op: 'add', path: '/spec/matchResources', value: matchResources }]);
    const scope = { target: { kind: 'ValidatingAdmissionPolicyBinding' }, patch };
    const rendered = await render({ namespace: home, patches: [scope, ...patches], ...affixes });
    const installed = new InstalledPolicies(home, tenant, rendered);
    expect(installed.identity.map(({ kind }) => kind)).to.have.members(['ClusterRole', 'ClusterRoleBinding']);
    await apply([...installed.identity, ...installed.#policies]);
    // It is there already where two operators share a tenant.
    await run(['create', 'rolebinding', 'editor', '--clusterrole=edit', '--user=editor', `--namespace=${tenant}`]);
    await installed.inForce();
    return installed;
  }

  /** The API server takes a moment to put a policy or a parameter into force. */
  async inForce(): Promise<void> {
    const probes = [
      () => this.create(ltiKey(this.tenant, 'probe-1')),
      () => this.create(secret(this.tenant, 'probe', 'Opaque'), this.operator),
    ];
    for (const probe of probes) await until(async () => (await probe()).code !== 0);
    await until(async () => (await this.create(ltiKey(this.tenant, 'probe-1'), this.operator)).code === 0);
  }

  /** A dry run. */
  create(manifest: object, as?: string): Promise<CommandResult> {
    return run(['create', '--dry-run=server', '--filename=-'], as, manifest);
  }

  async remove(): Promise<void> {
    for (const { kind, metadata } of [...this.#policies, ...this.identity]) {
      await succeed(['delete', kind, metadata.name, '--ignore-not-found']);
    }
    await succeed(['delete', 'namespace', this.home, this.tenant, '--wait=false', '--ignore-not-found']);
  }
}

/** As the administrator, or as somebody with an administrator's rights and that name; the editor has those of `edit`. */
export function run(args: readonly string[], as?: string, input?: object): Promise<CommandResult> {
  const impersonation = as === undefined ? [] : as === 'editor' ? ['--as=editor'] : [`--as=${as}`, masters];
  return controlPlane().kubectlRun([...args, ...impersonation], input ? { input: JSON.stringify(input) } : {});
}

export async function succeed(args: readonly string[], as?: string, input?: object): Promise<string> {
  const { code, stdout, stderr } = await run(args, as, input);
  expect(code, stderr).to.equal(0);
  return stdout;
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('The admission policies are not in force after 10 seconds.');
}

export function expectRefused({ code, stderr }: CommandResult, why: string): void {
  expect(code, stderr).to.equal(1);
  expect(stderr)
    .to.match(/Forbidden|is forbidden/)
    .and.contain(why);
}
