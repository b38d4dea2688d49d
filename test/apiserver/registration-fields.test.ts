import { expect } from 'chai';
import { ltiKeys, rotateRequestedAtAnnotation } from '../../src/api/names.ts';
import { hour, minute, second } from '../../src/domain/duration.ts';
import { rsaThumbprint } from '../../src/lib/thumbprint.ts';
import { controlPlane } from '../fixtures/control-plane.ts';
import { publicUrl, startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant, text } from '../fixtures/tenant.ts';

/** What no other test needs to look at. docs/spec/fields.md names for every field the test that proves it. */
describe('Fields that no other test covers', () => {
  let tenant: Tenant;
  let operator: Operator;

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('fields');
    operator = await startOperator({ namespaces: [tenant.namespace] });
  });

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');
  const at = (time: string | undefined): number => Date.parse(time ?? '');
  const untilPublished = (name: string): Promise<void> =>
    eventually(async () => expect((await tenant.key(name)).status?.publishedAt).to.be.a('string'));
  const entry = async (): Promise<object> => {
    const secret = await tenant.secret('canvas-signing-key');
    const parsed: object = JSON.parse(text(secret!, 'registration.json'));
    return parsed;
  };

  it('The fields that describe the platform reach the tool under the names of the LTI standard, and so do changes', async () => {
    await tenant.apply('canvas', {
      issuer: 'https://canvas.example.org',
      clientID: '10000000000042',
      authorizationEndpoint: 'https://sso.example.org/authorize',
      tokenEndpoint: 'https://sso.example.org/token',
      jwksURI: 'https://sso.example.org/jwks',
      deploymentIDs: ['1:abc', '2'],
    });
    await inStep();
    const said = {
      issuer: 'https://canvas.example.org',
      client_id: '10000000000042',
      authorization_endpoint: 'https://sso.example.org/authorize',
      token_endpoint: 'https://sso.example.org/token',
      token_audience: 'https://sso.example.org/token',
      authorization_server: 'https://sso.example.org/token',
      jwks_uri: 'https://sso.example.org/jwks',
      deployment_ids: ['1:abc', '2'],
      platform: 'Other',
      tool_jwks_uri: `${publicUrl}/registrations/${tenant.namespace}/canvas/jwks.json`,
      namespace_jwks_uri: `${publicUrl}/namespaces/${tenant.namespace}/jwks.json`,
      kid: (await tenant.key('canvas-1')).spec.keyID,
      revision: 1,
    };
    expect(await entry()).to.deep.equal(said);
    await tenant.edit('canvas', { tokenAudience: 'urn:example:audience', clientID: '43', deploymentIDs: ['2'] });
    const audience = { token_audience: 'urn:example:audience', authorization_server: 'urn:example:audience' };
    const changed = { ...said, ...audience, client_id: '43', deployment_ids: ['2'] };
    await eventually(async () => expect(await entry()).to.deep.equal(changed));
  });

  it('A delivery Secret has the files that the spec lists, follows changes of the list, and needs no file kid to be revoked', async () => {
    const secretName = 'canvas-signing-key';
    const names = async (): Promise<string[]> => Object.keys((await tenant.secret(secretName))?.data ?? {});
    await tenant.apply('canvas', { delivery: { secretName, files: ['private.jwk', 'registration.json'] } });
    await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
    await eventually(async () => expect(await names()).to.have.members(['private.jwk', 'registration.json']));
    await tenant.edit('canvas', { delivery: { secretName, files: ['private.pem', 'kid'] } });
    await eventually(async () => expect(await names()).to.have.members(['private.pem', 'kid']));
    await tenant.edit('canvas', { delivery: { secretName, files: ['private.jwk', 'registration.json'] } });
    await eventually(async () => expect(await names()).to.have.members(['private.jwk', 'registration.json']));
    const revoked = (await tenant.key('canvas-1')).spec.keyID;
    await tenant.edit('canvas', { revokedKeyIDs: [revoked], keyDistribution: 'Manual' });
    await operator.travel(minute);
    await eventually(async () => expect(await names()).to.have.members(['registration.json']));
    expect(await entry()).to.not.have.any.keys('kid', 'revision');
  });

  it('Labels and annotations of spec.delivery.metadata reach the Secret, and leave it when they leave the spec', async () => {
    const secretName = 'canvas-signing-key';
    const metadata = { labels: { 'example.org/team': 'a', tier: 'b' }, annotations: { 'example.org/contact': 'c' } };
    await tenant.apply('canvas', { delivery: { secretName, metadata } });
    await inStep();
    const now = async () => (await tenant.secret(secretName))!.metadata;
    expect((await now()).labels).to.include(metadata.labels);
    expect((await now()).annotations).to.include(metadata.annotations);
    await controlPlane().kubectlRun(['label', 'secret', secretName, '--namespace', tenant.namespace, 'mine=kept']);
    await tenant.edit('canvas', { delivery: { secretName, metadata: { labels: { tier: 'b' } } } });
    await eventually(async () => {
      const { labels, annotations } = await now();
      expect(labels).to.include({ tier: 'b', mine: 'kept' }).and.to.not.have.any.keys('example.org/team');
      expect(annotations).to.not.have.any.keys('example.org/contact');
    });
    await tenant.edit('canvas', { delivery: { secretName } });
    await eventually(async () => expect((await now()).labels).to.not.have.any.keys('tier'));
    await inStep();
  });

  it('A delivery Secret contains the public key and the whole key set besides the private key', async () => {
    await tenant.apply('canvas', { rotationTrigger: 'a' });
    await inStep();
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await inStep();
    const secret = (await tenant.secret('canvas-signing-key'))!;
    expect(text(secret, 'public.pem')).to.match(/^-----BEGIN PUBLIC KEY-----\n/);
    const keys = (await tenant.keys('canvas')).map(({ spec }) => spec.publicJWK);
    await eventually(async () => {
      const now = (await tenant.secret('canvas-signing-key'))!;
      expect(JSON.parse(text(now, 'jwks.json'))).to.deep.equal({ keys });
    });
  });

  for (const [what, value] of [
    ['300 characters', 'x'.repeat(300)],
    ['two lines and a zero-width space', 'now\nand \u200bagain'],
  ] as const) {
    it(`The status is written after a rotate request of ${what}`, async () => {
      await tenant.apply('canvas');
      await tenant.annotate('canvas', { [rotateRequestedAtAnnotation]: value });
      await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
      await tenant.annotate('canvas', { [rotateRequestedAtAnnotation]: `${value}!` });
      await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
      await eventually(async () => {
        const { status } = await tenant.registration('canvas');
        expect(status?.nextKey?.name).to.equal('canvas-2');
        expect(status?.observedRotateRequest).to.match(
          /^(now\?and \?again!|x{200})… \(\d+ characters, FNV-1a \w{8}\)$/,
        );
      });
      await inStep();
    });
  }

  const advice = [
    ['Canvas', 'True RevocationEffective', 'it fetches the key set for every token request'],
    ['Moodle', 'Unknown RevocationPending', 'let the tool request one access token with the new key'],
    ['Blackboard', 'False RevocationPending', 'it may keep a fetched key for 10 hours'],
  ] as const;
  for (const [platform, verdict, says] of advice) {
    it(`The platform ${platform} decides how long a revoked key counts as accepted`, async () => {
      await tenant.apply('canvas', { platform });
      await inStep();
      await tenant.edit('canvas', { revokedKeyIDs: [(await tenant.key('canvas-1')).spec.keyID] });
      await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
      await tenant.untilSays('canvas', 'RevocationEffective', verdict.replace(/^True .*/, 'False RevocationPending'));
      // Caches before the sidecar may go on with the document for as long as it told them to.
      await operator.travel(2 * hour);
      const message = await tenant.untilSays('canvas', 'RevocationEffective', verdict);
      expect(message).to.include(platform).and.to.include(says);
    });
  }

  it('keyHistoryLimit keeps the newest Retired keys on record', async () => {
    await tenant.apply('canvas', { keyHistoryLimit: 2 });
    await inStep();
    // A next key of a size that is no longer asked for is given up at once.
    for (const [size, name] of [
      [3072, 'canvas-2'],
      [4096, 'canvas-3'],
      [3072, 'canvas-4'],
      [4096, 'canvas-5'],
    ] as const) {
      await tenant.edit('canvas', { key: { algorithm: 'RS256', size } });
      await eventually(async () => expect((await tenant.key(name)).status?.state).to.equal('Next'));
    }
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-3 Retired, canvas-4 Retired, canvas-5 Next');
    await tenant.edit('canvas', { keyHistoryLimit: 0 });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-5 Next');
    await inStep();
  });

  it('The fields of an LtiKey agree with the ledger and the documents', async () => {
    await tenant.apply('canvas');
    await inStep();
    const { spec, status } = await tenant.key('canvas-1');
    const { keyID, publicJWK } = spec;
    expect(spec).to.deep.equal({
      registrationRef: { name: 'canvas' },
      revision: 1,
      keyID: rsaThumbprint(publicJWK),
      algorithm: 'RS256',
      size: 2048,
      publicJWK: { kty: 'RSA', use: 'sig', alg: 'RS256', kid: keyID, n: publicJWK.n, e: 'AQAB' },
    });
    const { text: document } = await tenant.servedOf(operator.url, 'canvas');
    expect(JSON.parse(document)).to.deep.equal({ keys: [publicJWK] });
    expect(status?.kekID).to.equal('k1');
    expect(status?.conditions?.map(({ type, status: is, reason }) => `${type} ${is} ${reason}`)).to.deep.equal([
      'KeyMaterialAvailable True KeysDecryptable',
    ]);
    const { serial } = await tenant.ledger('canvas');
    expect(status?.ledgerSerial).to.be.within(1, serial);
    expect((await tenant.registration('canvas')).status?.ledgerSerial).to.be.within(status!.ledgerSerial!, serial);
  });

  it('The timestamps of a key follow each other in the order of its life', async () => {
    await tenant.apply('canvas', { rotationTrigger: 'a' });
    await inStep();
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await untilPublished('canvas-2');
    const began = operator.clock.now().getTime();
    await operator.travel(24 * hour + minute);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await eventually(async () => expect((await tenant.key('canvas-1')).status?.retireAt).to.be.a('string'));
    const retiring = (await tenant.key('canvas-1')).status;
    expect(retiring).not.to.have.property('retiredAt');
    await operator.travel(48 * hour);
    await tenant.untilStates('canvas', 'canvas-1 Retired, canvas-2 Active');
    const { status: retired } = await tenant.key('canvas-1');
    const order = (['createdAt', 'publishedAt', 'activatedAt', 'retireAt', 'retiredAt'] as const).map((time) =>
      at(retired?.[time]),
    );
    expect(order).to.deep.equal(order.toSorted((a, b) => a - b));
    expect(retired?.retireAt).to.equal(retiring?.retireAt);
    // The minute of the travel, and what the steps take on a busy machine.
    expect(at(retired?.retireAt) - began).to.be.within(72 * hour, 72 * hour + 5 * minute);
    expect(retired).not.to.have.property('kekID');

    const { status: signing } = await tenant.key('canvas-2');
    const { status } = await tenant.registration('canvas');
    const { createdAt, activatedAt } = signing ?? {};
    const { keyID } = (await tenant.key('canvas-2')).spec;
    expect(status?.activeKey).to.deep.equal({ name: 'canvas-2', keyID, createdAt, activatedAt });
    await tenant.edit('canvas', { revokedKeyIDs: [keyID] });
    await tenant.untilStates('canvas', 'canvas-1 Retired, canvas-2 Revoked, canvas-3 Active');
    const { status: revoked } = await tenant.key('canvas-2');
    expect(at(revoked?.revokedAt)).to.be.greaterThan(at(revoked?.activatedAt));
    expect(revoked).not.to.have.property('kekID');
  });

  it('LtiKeys can be selected by their registration', async () => {
    await tenant.apply('canvas');
    await tenant.apply('moodle');
    await tenant.untilStates('canvas', 'canvas-1 Active');
    await tenant.untilStates('moodle', 'moodle-1 Active');
    const fieldSelector = 'spec.registrationRef.name=moodle';
    const { items } = await tenant.client.list(ltiKeys, { namespace: tenant.namespace, fieldSelector });
    expect(items.map(({ metadata }) => metadata.name)).to.deep.equal(['moodle-1']);
  });
});

describe('The last fetch', () => {
  it('A registration shows when a platform last fetched its document', async () => {
    const tenant = await Tenant.inNewNamespace('fetched');
    const operator = await startOperator({ namespaces: [tenant.namespace], collectFetches: true });
    const statusAfter = async (duration: number) => {
      await operator.travel(duration);
      return (await tenant.registration('canvas')).status;
    };
    try {
      await tenant.apply('canvas');
      await tenant.untilStates('canvas', 'canvas-1 Active');
      await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
      expect((await statusAfter(3 * minute))?.lastFetchTime, 'the requests of the operator').to.equal(undefined);
      const fetched = operator.clock.now().getTime();
      await fetch(`${operator.url}/registrations/${tenant.namespace}/canvas/jwks.json`);
      const answered = operator.clock.now().getTime();
      let shown = NaN;
      await eventually(async () => {
        shown = Date.parse((await statusAfter(minute))?.lastFetchTime ?? '');
        expect(Number.isNaN(shown)).to.equal(false);
      });
      expect(shown).to.be.within(fetched - 2 * second, answered + 2 * second);
      const { stdout } = await controlPlane().kubectlRun(['get', 'ltireg', '-n', tenant.namespace, '-o', 'wide']);
      expect(stdout).to.match(/^NAME .* LAST FETCH /);
    } finally {
      await operator.stop();
      await tenant.leave();
    }
  });
});
