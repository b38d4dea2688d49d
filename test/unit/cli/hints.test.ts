import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import type { LtiKey } from '../../../src/api/objects.ts';
import { leafCommands } from '../../../src/cli/leaf-commands.ts';
import { checkAnswer } from '../../../src/cli/jwks-checks.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { aPublicJwk } from '../../builders/ledger.ts';
import { fakeTerminal } from '../../fakes/fake-terminal.ts';
import { KubectlLti } from '../../fixtures/kubectl-lti.ts';

describe('The hints of kubectl lti', () => {
  let kubectlLti: KubectlLti;

  before(async () => {
    kubectlLti = await KubectlLti.start();
  });

  after(() => kubectlLti.stop());

  const lti = (line: string): ReturnType<KubectlLti['run']> => kubectlLti.run(line);

  /** A registration whose activationDelay is below the default minimum. */
  function put(status?: object): void {
    const spec = { issuer: 'https://canvas.example', rotateAfter: '10m', activationDelay: '20s', overlap: '1m' };
    const object = {
      kind: 'LtiRegistration',
      metadata: { name: 'canvas', namespace: 'gradebook', generation: 2 },
      spec,
    };
    const path = '/apis/ltikeys.dev/v1alpha1/namespaces/gradebook/ltiregistrations';
    kubectlLti.cluster.put(path, { ...object, ...(status ? { status } : {}) });
  }

  const stalled = (status: string, reason: string, message: string): object => ({
    conditions: [
      { type: 'Stalled', status, reason, message, observedGeneration: 2, lastTransitionTime: '2027-01-10T08:00:00Z' },
    ],
  });

  it('plan shows the rotations of a registration that the operator does not report as Stalled, whatever the default limits are', async () => {
    put({ observedGeneration: 2, ...stalled('False', 'NotStalled', 'no fault') });
    const { out, err } = await lti('plan canvas -n gradebook --for 1h');
    expect(err).not.to.include('No rotation starts').and.not.include('default limits');
    expect(out).to.match(/canvas-2 +signs from now on/);
  });

  it('plan repeats why the operator starts no rotation, and shows none', async () => {
    put({ observedGeneration: 2, ...stalled('True', 'ActivationDelayTooShort', 'raise it to at least 3d') });
    const { out, err } = await lti('plan canvas -n gradebook --for 1h');
    expect(err).to.include('No rotation starts: raise it to at least 3d.');
    expect(out).not.to.include('canvas-2');
  });

  for (const observedGeneration of [undefined, 1]) {
    it(`plan says that it assumes the default limits while the operator has observed generation ${observedGeneration} of 2`, async () => {
      put(
        observedGeneration === undefined
          ? undefined
          : { observedGeneration, ...stalled('False', 'NotStalled', 'no fault') },
      );
      const { out, err } = await lti('plan canvas -n gradebook --for 1h');
      expect(err).to.include("With the operator's default limits, no rotation starts: spec.activationDelay is 20s");
      expect(out).not.to.include('canvas-2');
    });
  }

  it('plan --filename says what to give instead of a file that it cannot read', async () => {
    expect(await lti('plan -f missing.yaml')).to.include({
      code: 1,
      err: 'error: missing.yaml cannot be read (ENOENT): give the path of a manifest, or - for standard input\n',
    });
  });

  it('plan --filename says where a file is not YAML, and what to give instead of one without a registration', async () => {
    const prose = join(kubectlLti.folder, 'README.md');
    writeFileSync(prose, '# Title\n\nProse without a colon\nover: two lines\n');
    expect((await lti(`plan -f ${prose}`)).err).to.match(/README\.md is not YAML: .* at line \d+, column \d+\n$/);
    const other = join(kubectlLti.folder, 'other.yaml');
    writeFileSync(other, 'kind: ConfigMap\n');
    expect((await lti(`plan -f ${other}`)).err).to.match(
      /other\.yaml has no LtiRegistration of ltikeys\.dev\/v1alpha1: give a manifest with one\n$/,
    );
  });

  it('acknowledge --revocation says that there is no such registration, not that it has no revoked key', async () => {
    const { code, err } = await lti('acknowledge missing -n gradebook --revocation');
    expect({ code, err }).to.deep.equal({
      code: 1,
      err: 'error: there is no LtiRegistration missing in namespace gradebook: choose the namespace with -n, or list all with: kubectl lti status -A\n',
    });
  });

  it('verify takes a text that is not a URL for a wrong command line', async () => {
    put();
    expect(await lti('verify canvas -n gradebook --url keys')).to.include({ code: 2 });
  });

  it('verify does not blame the certificate of a server that does not speak TLS', async () => {
    put();
    const plain = createServer().listen(0, '127.0.0.1');
    await once(plain, 'listening');
    const { port } = plain.address() as AddressInfo;
    const { out } = await lti(`verify canvas -n gradebook --url https://127.0.0.1:${port}/jwks.json`);
    plain.close();
    expect(out).to.match(/answer +failed +127\.0\.0\.1:\d+ does not answer with TLS \(ERR_SSL_\w+\): /);
    expect(out).not.to.include('certificate');
  });

  it('public-key suggests commands that name the namespace', async () => {
    put();
    const next = await lti('public-key canvas -n gradebook --next');
    expect(next.err).to.include('start one with kubectl lti rotate canvas -n gradebook\n');
    const active = await lti('public-key canvas -n gradebook');
    expect(active.err).to.include('see kubectl lti status canvas -n gradebook\n');
  });

  it('status suggests all namespaces if one has no registrations, and nothing if it has looked at all', async () => {
    const { err } = await lti('status -n empty');
    expect(err).to.equal('No registrations found in namespace empty. List all with: kubectl lti status -A\n');
    kubectlLti.cluster.objects.clear();
    expect((await lti('status -A')).err).to.equal('No registrations found.\n');
  });

  it('Every subcommand suggests --help after a wrong command line', async () => {
    for (const { name } of leafCommands(createProgram(fakeTerminal()))) {
      const { code, err } = await lti(`${name} --no-such-option`);
      expect(code, name).to.equal(2);
      expect(err, name).to.include('Run the command with --help for its options and examples.');
    }
  });

  it('verify says once which address is private', async () => {
    put();
    const detail = async (host: string): Promise<string> =>
      (await lti(`verify canvas -n gradebook --url http://${host}:1`)).out;
    expect(await detail('127.0.0.1')).to.include(' 127.0.0.1 is a private address: platforms outside');
    expect(await detail('localhost')).to.match(/ localhost has the private address \S+: platforms outside/);
  });

  for (const [count, text] of [
    [1, '1 RSA key for RS256, without private members'],
    [2, '2 RSA keys for RS256, without private members'],
  ] as const) {
    it(`verify counts ${count} in the plural only if there are several`, () => {
      const keys = Array.from({ length: count }, (_, index) => aPublicJwk(`k${index}`));
      const answer = { url: new URL('https://keys.example'), redirects: 0, status: 200, headers: {}, milliseconds: 1 };
      const none: readonly LtiKey[] = [];
      const checks = checkAnswer({ ...answer, body: JSON.stringify({ keys }) }, none, 'Other');
      expect(checks.find(({ check }) => check === 'key set')?.detail).to.equal(text);
    });
  }
});
