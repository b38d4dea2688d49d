import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { runCli } from '../../../src/cli/program.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';

const tool = 'https://purl.imsglobal.org/spec/lti-tool-configuration';
const lti = 'https://purl.imsglobal.org/spec/lti-platform-configuration';
const jwksURL = 'https://keys.example.org/registrations/gradebook/moodle/jwks.json';
const response = {
  client_id: 'aBcDeFgHiJkLmNo',
  application_type: 'web',
  response_types: ['id_token'],
  initiate_login_uri: 'https://tool.example/login',
  redirect_uris: ['https://tool.example/launch'],
  jwks_uri: jwksURL,
  [tool]: { domain: 'tool.example', target_link_uri: 'https://tool.example/launch', deployment_id: '7' },
};
const configuration = {
  issuer: 'https://moodle.example.edu',
  authorization_endpoint: 'https://moodle.example.edu/mod/lti/auth.php',
  token_endpoint: 'https://moodle.example.edu/mod/lti/token.php',
  jwks_uri: 'https://moodle.example.edu/mod/lti/certs.php',
  registration_endpoint: 'https://moodle.example.edu/mod/lti/openid-registration.php',
  [lti]: { product_family_code: 'moodle', version: '5.0', messages_supported: [] },
};
const spec = {
  platform: 'Moodle',
  issuer: configuration.issuer,
  authorizationEndpoint: configuration.authorization_endpoint,
  tokenEndpoint: configuration.token_endpoint,
  jwksURI: configuration.jwks_uri,
  clientID: response.client_id,
  deploymentIDs: ['7'],
};

describe('kubectl lti import-registration', () => {
  let folder: string;
  const file = (name: string): string => join(folder, name);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'registration-'));
  });

  after(() => rmSync(folder, { recursive: true }));

  async function run(answer: unknown, openid?: unknown, ...more: readonly string[]) {
    const write = (name: string, value: unknown): string => {
      writeFileSync(file(name), typeof value === 'string' ? value : JSON.stringify(value));
      return file(name);
    };
    const given = openid === undefined ? [] : ['--openid-configuration', write('openid.json', openid)];
    const terminal = fakeTerminal();
    const args = ['import-registration', 'moodle', '-n', 'gradebook', '-f', write('response.json', answer)];
    const code = await runCli([...args, ...given, ...more], terminal);
    return { code, out: terminal.output(), err: terminal.errors() };
  }

  it('The two answers of a platform become a manifest with every field that they have', async () => {
    const { code, out, err } = await run(response, configuration);
    expect({ code, err }).to.deep.equal({ code: 0, err: '' });
    expect(parse(out)).to.deep.equal({
      apiVersion: 'ltikeys.dev/v1alpha1',
      kind: 'LtiRegistration',
      metadata: { name: 'moodle', namespace: 'gradebook' },
      spec: { ...spec, delivery: { secretName: 'moodle-signing-key' } },
    });
  });

  it('With --patch it prints what the answers add, and that the list of deployments is replaced', async () => {
    const { code, out, err } = await run(response, configuration, '--patch');
    expect(code).to.equal(0);
    expect(parse(out)).to.deep.equal({ spec });
    expect(err).to.equal('Note: the patch replaces the list spec.deploymentIDs.\n');
    expect(parse((await run(response, undefined, '--patch')).out)).to.deep.equal({
      spec: { clientID: response.client_id, deploymentIDs: ['7'] },
    });
  });

  it('A manifest without the OpenID configuration is refused, because the response has no issuer', async () => {
    const { code, err } = await run(response);
    expect(code).to.equal(2);
    expect(err).to.include('a manifest needs the issuer').and.include('--openid-configuration');
  });

  it('A name that the API server would refuse is refused before anything is read', async () => {
    const { code, out, err } = await run(response, configuration, '-n', 'Grade Book');
    expect({ code, out }).to.deep.equal({ code: 2, out: '' });
    expect(err).to.include('--namespace: "Grade Book" is not a name of Kubernetes');
  });

  it('The audience is taken if it is not the token endpoint, from either place', async () => {
    const audience = 'https://api.brightspace.com/auth/token';
    for (const openid of [
      { ...configuration, authorization_server: audience },
      { ...configuration, [lti]: { product_family_code: 'desire2learn', authorization_server: audience } },
    ]) {
      expect(parse((await run(response, openid)).out)).to.have.nested.property('spec.tokenAudience', audience);
    }
    const same = { ...configuration, authorization_server: configuration.token_endpoint };
    expect(parse((await run(response, same)).out)).not.to.have.nested.property('spec.tokenAudience');
  });

  for (const [family, platform] of [
    ['canvas', 'Canvas'],
    ['BlackboardLearn', 'Blackboard'],
    ['desire2learn', 'Brightspace'],
    ['sakai.example', 'Sakai'],
    ['sakai', 'Sakai'],
    ['another', 'Other'],
    [undefined, 'Other'],
  ] as const) {
    it(`The product family ${family} is the platform ${platform}`, async () => {
      const openid = { ...configuration, [lti]: family === undefined ? undefined : { product_family_code: family } };
      expect(parse((await run(response, openid)).out)).to.have.nested.property('spec.platform', platform);
    });
  }

  it('The deployment of Canvas is left out, and of others is taken from the response itself or as a number', async () => {
    const canvas = await run(response, { ...configuration, [lti]: { product_family_code: 'canvas' } });
    expect(parse(canvas.out)).not.to.have.nested.property('spec.deploymentIDs');
    expect(canvas.err).to.include('the deployment ID is left out, because Canvas creates deployments at any time');
    const { [tool]: _, ...bare } = response;
    expect(parse((await run({ ...bare, deployment_id: 12 }, configuration)).out)).to.have.deep.nested.property(
      'spec.deploymentIDs',
      ['12'],
    );
    expect(parse((await run(bare, configuration)).out)).not.to.have.nested.property('spec.deploymentIDs');
  });

  it('A key set that is not that of the registration is noted, and the document of the namespace is not', async () => {
    const elsewhere = await run({ ...response, jwks_uri: 'https://tool.example/jwks' }, configuration);
    expect(elsewhere.code).to.equal(0);
    expect(elsewhere.err).to.include('the platform fetches keys from https://tool.example/jwks');
    const namespace = { ...response, jwks_uri: 'https://keys.example.org/namespaces/gradebook/jwks.json' };
    expect((await run(namespace, configuration)).err).to.equal('');
    expect((await run({ client_id: 'a' }, configuration)).err).to.include('the response has no jwks_uri');
  });

  it('Secrets of the response are named and never printed', async () => {
    const secret = { ...response, client_secret: 'hush-1', registration_access_token: 'hush-2' };
    const { code, out, err } = await run(secret, configuration);
    expect(code).to.equal(0);
    expect(out + err).not.to.include('hush');
    expect(err).to.include('registration_access_token').and.include('client_secret');
  });

  const refused: readonly (readonly [string, unknown, unknown, string])[] = [
    ['a response that is no JSON', '<html>', configuration, 'response.json is not JSON'],
    ['a response that is a list', [], configuration, 'response.json is a list, not a JSON object'],
    ['a response without client_id', {}, configuration, 'response.json has no client_id'],
    ['a client_id that is a number', { client_id: 4 }, configuration, 'client_id that is a number, not a string'],
    ['an empty client_id', { client_id: '' }, configuration, 'client_id that is an empty string, not a string'],
    [
      'a refusal of the platform',
      { error: 'invalid_client_metadata', error_description: 'x' },
      configuration,
      'response.json is a refusal of the platform (invalid_client_metadata)',
    ],
    [
      'a tool configuration that is a string',
      { client_id: 'a', [tool]: 'b' },
      configuration,
      `response.json, ${tool}, is a string, not a JSON object`,
    ],
    [
      'a deployment that is a list',
      { client_id: 'a', [tool]: { deployment_id: ['7'] } },
      configuration,
      `response.json, ${tool}, has a member deployment_id that is a list, not a string`,
    ],
    ['a configuration without issuer', response, { ...configuration, issuer: undefined }, 'openid.json has no issuer'],
    [
      'a token endpoint without TLS',
      response,
      { ...configuration, token_endpoint: 'http://moodle.example.edu/token' },
      'openid.json has a member token_endpoint that is not an https URL without a fragment',
    ],
  ];
  for (const [what, answer, openid, message] of refused) {
    it(`It refuses ${what}, and names file and member`, async () => {
      const { code, out, err } = await run(answer, openid);
      expect({ code, out }).to.deep.equal({ code: 1, out: '' });
      expect(err).to.include(message).and.to.include('nothing was imported');
    });
  }

  it('It refuses a file that cannot be read', async () => {
    const terminal = fakeTerminal();
    expect(await runCli(['import-registration', 'moodle', '--patch', '-f', file('absent')], terminal)).to.equal(1);
    expect(terminal.errors()).to.include('absent cannot be read (ENOENT)');
  });
});
