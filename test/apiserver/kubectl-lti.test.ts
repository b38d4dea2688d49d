import { createPublicKey } from 'node:crypto';
import { expect } from 'chai';
import { parse } from 'yaml';
import { ltiRegistrations } from '../../src/api/names.ts';
import { runCli } from '../../src/cli/program.ts';
import { type FakeTerminal, fakeTerminal } from '../fakes/fake-terminal.ts';
import { controlPlane } from '../fixtures/control-plane.ts';
import { startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

/** `kubectl lti` against the operator, with the rights of a cluster administrator. */
describe('kubectl lti on a cluster', () => {
  let tenant: Tenant;
  let operator: Operator;

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('cli');
    operator = await startOperator({ namespaces: [tenant.namespace] });
    await tenant.apply('canvas');
    await tenant.untilStates('canvas', 'canvas-1 Active');
    await eventually(async () => expect((await tenant.registration('canvas')).status?.phase).to.equal('Ready'));
  });

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  async function lti(
    line: string,
    terminal: FakeTerminal = fakeTerminal({ clock: operator.clock }),
  ): Promise<{ code: number; out: string; err: string }> {
    const kubeconfig = ['--kubeconfig', controlPlane().kubeconfig, '-n', tenant.namespace];
    const code = await runCli([...line.split(' '), ...kubeconfig], terminal);
    return { code, out: terminal.output(), err: terminal.errors() };
  }

  const signingKey = async (): Promise<string> => (await tenant.registration('canvas')).status?.activeKey?.keyID ?? '';

  it('status shows a registration as a table, as YAML and by its name', async () => {
    const table = await lti('status');
    expect(table).to.include({ code: 0, err: '' });
    expect(table.out.split('\n')[0]).to.match(/^NAMESPACE +NAME +STATUS +KEY +AGE +NEXT ROTATION +IN PROGRESS$/);
    expect(table.out.split('\n')[1]).to.match(new RegExp(`^${tenant.namespace} +canvas +Ready +canvas-1 `));
    const { items } = parse((await lti('status canvas -o yaml')).out) as { items: unknown[] };
    expect(items).to.have.length(1);
    expect(items[0]).to.deep.include({ name: 'canvas', phase: 'Ready', problems: [] });
    expect((await lti('status -o name')).out).to.equal('ltiregistration.ltikeys.dev/canvas\n');
  });

  it('status --check exits with 3 and shows the remedy if a registration is stalled', async () => {
    await tenant.edit('canvas', { overlap: '10m' });
    await eventually(async () => expect((await tenant.registration('canvas')).status?.phase).to.equal('Stalled'));
    const { code, out, err } = await lti('status --check');
    expect(code).to.equal(3);
    expect(out).to.include('OverlapTooShort').and.include('Remedy: Raise spec.overlap');
    expect(err).to.equal('error: 1 of 1 registrations have a problem\n');
  });

  it('rotate starts a rotation', async () => {
    const { code, out } = await lti('rotate canvas');
    expect({ code, out }).to.deep.equal({ code: 0, out: 'ltiregistration.ltikeys.dev/canvas: rotation requested\n' });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
  });

  it('public-key prints the key that signs as PEM, and that of the LtiKey as a JWK', async () => {
    const { code, out, err } = await lti('public-key canvas');
    expect(code).to.equal(0);
    const [key] = await tenant.keys('canvas');
    expect(createPublicKey(out).export({ format: 'jwk' })).to.include({ n: key?.spec.publicJWK.n });
    expect(err).to.equal(`Key ID: ${await signingKey()}\n`);
    expect(JSON.parse((await lti('public-key canvas --format jwk')).out)).to.deep.equal(key?.spec.publicJWK);
    expect((await lti('public-key canvas --next')).err).to.include('no rotation of canvas is in progress');
  });

  it('acknowledge changes nothing for a registration whose keys are fetched', async () => {
    const { code, err } = await lti('acknowledge canvas');
    expect(code).to.equal(1);
    expect(err).to.include('its keys need no acknowledgement, nothing was changed');
  });

  it('revoke asks first, refuses a key ID that it does not know, and waits until no replica serves the key', async () => {
    const leaked = await signingKey();
    const unconfirmed = await lti(`revoke canvas ${leaked}`);
    expect(unconfirmed.code).to.equal(2);
    expect(unconfirmed.err).to.include('nothing was revoked: confirm with --yes');
    const unknown = await lti('revoke canvas nope --yes');
    expect(unknown.code).to.equal(1);
    expect(unknown.err).to.include('canvas has no key nope').and.include(`${leaked} (Active)`);
    expect((await tenant.registration('canvas')).spec.revokedKeyIDs ?? []).to.deep.equal([]);

    const { code, out } = await lti(`revoke canvas ${leaked} --yes --timeout 60s`);
    expect(code, out).to.equal(0);
    expect(out).to.include(`${leaked} revoked`);
    expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).not.to.include(leaked);
  });

  it('revoke revokes a key of a registration that was deleted and retains its keys', async () => {
    const leaked = await signingKey();
    await tenant.remove(ltiRegistrations, 'canvas');
    await eventually(async () => {
      const [key] = await tenant.keys('canvas');
      expect(key?.status?.conditions?.find(({ type }) => type === 'Orphaned')?.status).to.equal('True');
    });
    const { code, out, err } = await lti(`revoke canvas ${leaked} --yes --timeout 60s`);
    expect(code, out + err).to.equal(0);
    expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).not.to.include(leaked);
    expect((await lti('status canvas')).err, 'deleted again').to.include('there is no LtiRegistration canvas');
  });

  it('verify fetches a document and compares its keys with those of the cluster', async () => {
    const url = `${operator.url}/registrations/${tenant.namespace}/canvas/jwks.json`;
    const { code, out } = await lti(`verify canvas --url ${url} -o json`);
    const { checks } = JSON.parse(out) as { checks: { check: string; result: string; detail: string }[] };
    const result = (name: string): string | undefined => checks.find(({ check }) => check === name)?.result;
    expect(code, 'the test serves without TLS').to.equal(3);
    expect(checks.filter((check) => check.result === 'failed').map(({ check }) => check)).to.deep.equal(['https']);
    for (const name of [
      'redirects',
      'status',
      'content type',
      'caching',
      'size',
      'keys',
      'revoked keys',
      'revalidation',
    ]) {
      expect(result(name), name).to.equal('passed');
    }
    const other = await lti(
      `verify canvas --url ${operator.url}/registrations/${tenant.namespace}/moodle/jwks.json -o json`,
    );
    expect(other.out).to.include('404: the registration has no published key, or the URL is wrong');
  });
});
