import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAllDocuments } from 'yaml';
import { rotateRequestedAtAnnotation } from '../../src/api/names.ts';
import { runCli } from '../../src/cli/program.ts';
import { fakeTerminal } from '../fakes/fake-terminal.ts';
import { controlPlane, createNamespace, installCrds } from '../fixtures/control-plane.ts';
import { startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, strangersJwk, Tenant } from '../fixtures/tenant.ts';

const root = join(import.meta.dirname, '../..');
const repository = join(root, 'deploy/gitops/repository');

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

async function kustomize(folder: string): Promise<readonly Manifest[]> {
  const { code, stdout, stderr } = await controlPlane().kubectlRun(['kustomize', folder]);
  expect(code, stderr).to.equal(0);
  return parseAllDocuments(stdout).map((document): Manifest => document.toJS());
}

/** A registration with a value in every field that the samples leave out. */
async function fullRegistration(): Promise<Manifest> {
  const { kid, n, e } = await strangersJwk('former');
  const spec = {
    issuer: 'https://full.example.edu',
    clientID: 'full',
    tokenAudience: 'https://full.example.edu/token',
    key: { size: 2048 },
    rotateAfter: '12w',
    overlap: '72h',
    rotationTrigger: '2026-11 new platform team',
    rotationWindows: [{ schedule: '0 2 * * 6', duration: '4h' }],
    revokedKeyIDs: ['of-the-former-system'],
    import: {
      secretName: 'absent',
      verifyOnly: [{ publicJWK: { kty: 'RSA', kid, n, e }, until: '2027-12-24T00:00:00Z' }],
    },
    delivery: { secretName: 'full-signing-key', metadata: { labels: { team: 'grades' }, annotations: { a: 'b' } } },
  };
  return { ...registrationHead('full'), spec };
}

function registrationHead(name: string): Omit<Manifest, 'spec'> & { readonly apiVersion: string } {
  return { apiVersion: 'ltikeys.dev/v1alpha1', kind: 'LtiRegistration', metadata: { name } };
}

/** How GitOps tools apply: Flux and Argo CD with ServerSideApply=true on the server, Argo CD without it on the client. */
const modes = [
  ['client-side', []],
  ['server-side', ['--server-side', '--field-manager=gitops']],
] as const;

for (const [mode, flags] of modes) {
  describe(`Registrations from Git, applied ${mode}`, () => {
    let tenant: Tenant;
    let operator: Operator;
    let manifests: readonly Manifest[];

    before(async () => {
      tenant = await Tenant.inNewNamespace('gitops');
      operator = await startOperator({ namespaces: [tenant.namespace] });
      const samples = await kustomize(join(root, 'deploy/samples'));
      manifests = [...samples.filter(({ kind }) => kind === 'LtiRegistration'), await fullRegistration()].map(inTenant);
      await kubectl('apply');
      for (const name of ['canvas', 'moodle']) await tenant.untilInStep(operator.url, name);
      await tenant.untilSays('full', 'Stalled', 'True ImportSecretMissing');
      await operator.rest();
    });
    after(async () => {
      await operator.stop();
      await tenant.leave();
    });

    const inTenant = (manifest: Manifest): Manifest => ({
      ...manifest,
      metadata: { ...manifest.metadata, namespace: tenant.namespace },
    });

    async function kubectl(verb: 'apply' | 'diff', objects = manifests): Promise<string> {
      const input = objects.map((object) => JSON.stringify(object)).join('\n---\n');
      const { code, stdout, stderr } = await controlPlane().kubectlRun([verb, ...flags, '--filename=-'], { input });
      expect(code, stdout + stderr).to.equal(0);
      return stdout;
    }

    async function lti(line: string): Promise<void> {
      const terminal = fakeTerminal({ clock: operator.clock });
      const place = ['--kubeconfig', controlPlane().kubeconfig, '-n', tenant.namespace];
      expect(await runCli([...line.split(' '), ...place], terminal), terminal.errors()).to.equal(0);
    }

    it('kubectl diff shows no difference for any sample, with its defaults and the status of the operator', async () => {
      expect(await kubectl('diff')).to.equal('');
    });

    it('A second apply changes nothing', async () => {
      const before = await tenant.registration('canvas');
      await kubectl('apply');
      expect((await tenant.registration('canvas')).metadata).to.deep.equal(before.metadata);
    });

    it('kubectl lti rotate rotates beside Git: it makes no difference, and an apply does not undo it', async () => {
      await lti('rotate canvas');
      await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
      // A status that is written between its two reads would be a difference.
      await operator.rest();
      expect(await kubectl('diff')).to.equal('');
      const { annotations } = (await tenant.registration('canvas')).metadata;
      expect(annotations).to.include.keys(rotateRequestedAtAnnotation);
      await kubectl('apply');
      expect((await tenant.registration('canvas')).metadata.annotations).to.deep.equal(annotations);
    });

    it('kubectl lti revoke adds to a registration without revokedKeyIDs in Git, and an apply does not undo it', async () => {
      const { keyID } = (await tenant.key('moodle-1')).spec;
      await lti(`revoke moodle ${keyID} --yes --no-wait`);
      await tenant.untilStates('moodle', 'moodle-1 Revoked, moodle-2 Active');
      await operator.rest();
      expect(await kubectl('diff')).to.equal('');
      await kubectl('apply');
      expect((await tenant.registration('moodle')).spec.revokedKeyIDs).to.deep.equal([keyID]);
    });

    it(`An apply ${mode} ${mode === 'client-side' ? 'removes' : 'keeps'} a key ID that kubectl lti revoke added to the list in Git`, async () => {
      const { keyID } = (await tenant.key('canvas-1')).spec;
      const listed = manifests.map((manifest) =>
        manifest.metadata.name === 'canvas'
          ? { ...manifest, spec: { ...manifest.spec, revokedKeyIDs: ['of-the-former-system'] } }
          : manifest,
      );
      await kubectl('apply', listed);
      await lti(`revoke canvas ${keyID} --yes --no-wait`);
      await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
      await kubectl('apply', listed);
      const kept = mode === 'client-side' ? [] : [keyID];
      expect((await tenant.registration('canvas')).spec.revokedKeyIDs).to.have.members([
        'of-the-former-system',
        ...kept,
      ]);
      // The ledger keeps the revocation.
      await operator.rest();
      expect(await tenant.states('canvas')).to.equal('canvas-1 Revoked, canvas-2 Active');
    });
  });
}

describe('The sample repository of deploy/gitops', () => {
  before(installCrds);

  for (const [overlay, namespace] of [
    ['staging', 'gradebook-staging'],
    ['production', 'gradebook'],
  ] as const) {
    it(`kustomize builds the overlay ${overlay}, and the API server accepts it`, async () => {
      const built = await kustomize(join(repository, 'overlays', overlay));
      expect(built.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`)).to.have.members(
        ['canvas', 'moodle'].map((name) => `LtiRegistration ${namespace}/${name}`),
      );
      const actual = await createNamespace('overlay');
      const input = built
        .map(({ metadata, ...rest }) => JSON.stringify({ ...rest, metadata: { ...metadata, namespace: actual } }))
        .join('\n---\n');
      const args = ['apply', '--dry-run=server', '--validate=strict', '--filename=-'];
      const { code, stderr } = await controlPlane().kubectlRun(args, { input });
      expect(code, stderr).to.equal(0);
      expect(stderr).to.equal('');
    });
  }

  it('The overlays set the issuers and client IDs, which the base leaves out', async () => {
    for (const { spec } of await kustomize(join(repository, 'base')))
      expect(spec).to.not.have.any.keys('issuer', 'clientID');
    for (const overlay of ['staging', 'production'])
      for (const { spec } of await kustomize(join(repository, 'overlays', overlay)))
        expect(spec).to.include.keys('issuer', 'clientID');
  });

  it('A commit that changes rotationTrigger in the overlay production rotates its keys', async () => {
    const tenant = await Tenant.inNewNamespace('commit');
    const operator = await startOperator({ namespaces: [tenant.namespace] });
    const clone = mkdtempSync(join(tmpdir(), 'repository-'));
    try {
      cpSync(repository, clone, { recursive: true });
      const file = join(clone, 'overlays/production/kustomization.yaml');
      const change = (from: string, to: string): void => {
        const before = readFileSync(file, 'utf8');
        expect(before).to.include(from);
        writeFileSync(file, before.replace(from, to));
      };
      const sync = async (): Promise<void> => {
        const args = ['apply', '--server-side', '--kustomize', join(clone, 'overlays/production')];
        const { code, stderr } = await controlPlane().kubectlRun(args);
        expect(code, stderr).to.equal(0);
      };
      change('namespace: gradebook', `namespace: ${tenant.namespace}`);
      await sync();
      for (const name of ['canvas', 'moodle']) await tenant.untilStates(name, `${name}-1 Active`);
      change('2026-11 new platform team', '2026-12 laptop stolen');
      await sync();
      for (const name of ['canvas', 'moodle']) await tenant.untilStates(name, `${name}-1 Active, ${name}-2 Next`);
      await eventually(async () => {
        const { status } = await tenant.registration('canvas');
        expect(status?.observedRotationTrigger).to.equal('2026-12 laptop stolen');
      });
    } finally {
      await operator.stop();
      await tenant.leave();
      rmSync(clone, { recursive: true });
    }
  });
});
