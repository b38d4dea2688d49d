import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ltiRegistrations } from '../../src/api/names.ts';
import type { LtiRegistration } from '../../src/api/objects.ts';
import { runCli } from '../../src/cli/program.ts';
import { minute } from '../../src/domain/duration.ts';
import { fakeTerminal } from '../fakes/fake-terminal.ts';
import { controlPlane } from '../fixtures/control-plane.ts';
import { publicUrl, startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant, text } from '../fixtures/tenant.ts';

const issuer = 'https://lms.example.edu';

/** As in LTI Dynamic Registration: the platform gets the JWKS URL, and then says who it is. */
describe('A registration that is older than its issuer', () => {
  let tenant: Tenant;
  let operator: Operator;

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('dynamic');
    operator = await startOperator({ namespaces: [tenant.namespace] });
  });
  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const kubectl = async (args: readonly string[], input?: string): Promise<string> => {
    const of = ['--namespace', tenant.namespace];
    const { code, stdout, stderr } = await controlPlane().kubectlRun(
      [...args, ...of],
      input === undefined ? {} : { input },
    );
    expect(code, stderr).to.equal(0);
    return stdout;
  };
  const apply = (name: string, spec: object): Promise<string> => {
    const manifest = { apiVersion: 'ltikeys.dev/v1alpha1', kind: 'LtiRegistration', metadata: { name }, spec };
    return kubectl(['apply', '--filename=-'], JSON.stringify(manifest));
  };
  const patch = (name: string, spec: object): Promise<string> =>
    kubectl(['patch', 'lti', name, '--type=merge', `--patch=${JSON.stringify({ spec })}`]);
  const entry = async (name: string): Promise<object> => {
    const secret = await tenant.secret(`${name}-signing-key`);
    const parsed: object = JSON.parse(text(secret!, 'registration.json'));
    return parsed;
  };
  const delivery = { secretName: 'lms-signing-key' };

  /** What registration.json has of the two answers of the platform. */
  const recorded = {
    issuer,
    client_id: '42',
    authorization_endpoint: `${issuer}/auth`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/certs`,
    platform: 'Moodle',
  };

  /** With `kubectl lti import-registration` and the commands of docs/guides/dynamic-registration.md. */
  async function importAnswers(name: string, jwksURL: string): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'answers-'));
    try {
      const write = (file: string, content: string): string => {
        writeFileSync(join(folder, file), content);
        return join(folder, file);
      };
      const { issuer: iss, authorization_endpoint, token_endpoint, jwks_uri } = recorded;
      const lti = { product_family_code: 'moodle', version: '5.0', messages_supported: [] };
      const platform = {
        issuer: iss,
        authorization_endpoint,
        token_endpoint,
        jwks_uri,
        'https://purl.imsglobal.org/spec/lti-platform-configuration': lti,
      };
      const tool = { domain: 'tool.example', deployment_id: '7' };
      const answer = {
        client_id: recorded.client_id,
        jwks_uri: jwksURL,
        'https://purl.imsglobal.org/spec/lti-tool-configuration': tool,
      };
      const files = [
        `--filename=${write('response.json', JSON.stringify(answer))}`,
        `--openid-configuration=${write('openid-configuration.json', JSON.stringify(platform))}`,
      ];
      const terminal = fakeTerminal();
      const of = `--namespace=${tenant.namespace}`;
      const code = await runCli(['import-registration', name, of, '--patch', ...files], terminal);
      expect(code, terminal.errors()).to.equal(0);
      const patchFile = `--patch-file=${write('patch.yaml', terminal.output())}`;
      const command = ['patch', 'ltiregistration', name, '--type=merge', patchFile];
      await kubectl([...command, '--dry-run=server']);
      await kubectl(command);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  it('The key is served, delivered and rotated before the platform is known, and each missing step is reported', async () => {
    await apply('lms', { delivery });
    await tenant.untilInStep(operator.url, 'lms');
    const first = await tenant.delivered('lms');
    const url = `${publicUrl}/registrations/${tenant.namespace}/lms/jwks.json`;
    expect(await tenant.untilSays('lms', 'Registered', 'False IssuerMissing')).to.include(url);
    expect(await entry('lms'))
      .to.include({ kid: first.kid, tool_jwks_uri: url })
      .and.to.not.have.any.keys('issuer');
    expect((await tenant.registration('lms')).status?.phase).to.equal('Ready');

    await patch('lms', { issuer });
    await tenant.untilSays('lms', 'Registered', 'False ClientIDMissing');
    await eventually(async () => expect(await entry('lms')).to.include({ issuer }));
    expect(JSON.parse(text(await tenant.ledgerSecret('lms'), 'ledger.json'))).to.include({ issuer });
    await patch('lms', { clientID: '42' });
    await tenant.untilSays('lms', 'Registered', 'False TokenEndpointMissing');
    await importAnswers('lms', url);
    await tenant.untilSays('lms', 'Registered', 'True PlatformRecorded');
    await eventually(async () => expect(await entry('lms')).to.include(recorded));
    await tenant.untilInStep(operator.url, 'lms');
    expect((await tenant.delivered('lms')).kid).to.equal(first.kid);
  });

  it('A retained registration that returns without its issuer waits for the issuer, and continues with its keys', async () => {
    await apply('lms', { issuer, clientID: '42', delivery });
    await tenant.untilInStep(operator.url, 'lms');
    const { kid } = await tenant.delivered('lms');
    await tenant.remove(ltiRegistrations, 'lms');
    await eventually(async () => {
      const orphaned = (await tenant.key('lms-1')).status?.conditions?.some(({ type }) => type === 'Orphaned');
      expect(orphaned).to.equal(true);
    });
    await apply('lms', { clientID: '42', delivery });
    expect(await tenant.untilSays('lms', 'Stalled', 'True IssuerChanged')).to.include('spec.issuer is not set');
    expect((await tenant.servedOf(operator.url, 'lms')).keyIDs).to.deep.equal([kid]);
    await patch('lms', { issuer });
    await operator.travel(minute);
    await tenant.untilInStep(operator.url, 'lms');
    expect((await tenant.delivered('lms')).kid).to.equal(kid);
    expect((await tenant.client.get<LtiRegistration>(ltiRegistrations, tenant.namespace, 'lms')).spec).to.include({
      issuer,
    });
  });
});
