import { expect } from 'chai';
import type { LtiRegistration } from '../../src/api/objects.ts';
import { day, hour, minute, second } from '../../src/domain/duration.ts';
import { ApiError } from '../../src/kube/errors.ts';
import { FormerKey, importing, keepKey } from '../fixtures/former-keys.ts';
import { startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

describe('Contradictory specs', () => {
  let tenant: Tenant;
  let operator: Operator;

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('contradictions');
    operator = await startOperator({ namespaces: [tenant.namespace] });
  });

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');
  const keyID = async (name: string): Promise<string> => (await tenant.key(name)).spec.keyID;
  const untilPublished = (name: string): Promise<void> =>
    eventually(async () => expect((await tenant.key(name)).status?.publishedAt).to.be.a('string'));
  const edit = (spec: Partial<LtiRegistration['spec']>): Promise<LtiRegistration> => tenant.edit('canvas', spec);

  it('A registration cannot revoke the key that it acknowledges', async () => {
    await tenant.apply('canvas', { keyDistribution: 'Manual' });
    await inStep();
    const first = await keyID('canvas-1');
    const refusal: unknown = await edit({ acknowledgedKeyID: first, revokedKeyIDs: [first] }).catch((e: unknown) => e);
    expect(refusal).to.be.instanceOf(ApiError);
    expect(String(refusal)).to.include('acknowledgedKeyID must not be in revokedKeyIDs; remove the key ID from one');
    await operator.rest();
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active');
  });

  it('A registration that revokes all of its keys gets a new one', async () => {
    await tenant.apply('canvas', { overlap: '30d', rotationTrigger: 'a' });
    await inStep();
    await edit({ rotationTrigger: 'b' });
    await untilPublished('canvas-2');
    await operator.travel(24 * hour + minute);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await edit({ rotationTrigger: 'c' });
    await untilPublished('canvas-3');
    const all = (await tenant.keys('canvas')).map(({ spec }) => spec.keyID);
    expect(all).to.have.length(3);

    await edit({ revokedKeyIDs: all });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Revoked, canvas-3 Revoked, canvas-4 Active');
    await inStep();
    expect(await tenant.untilSays('canvas', 'RevocationEffective', 'False RevocationPending')).to.include(
      'the platform may still accept revoked key',
    );
  });

  it('A Manual registration that revokes all of its keys has no signing key and reports what to do', async () => {
    await tenant.apply('canvas', { keyDistribution: 'Manual', rotationTrigger: 'a' });
    await inStep();
    await edit({ rotationTrigger: 'b' });
    await untilPublished('canvas-2');
    await edit({ revokedKeyIDs: [await keyID('canvas-1'), await keyID('canvas-2')] });
    await untilPublished('canvas-3');
    await operator.travel(50 * second);
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Revoked, canvas-3 Next');
    await eventually(async () => expect(await tenant.says('canvas', 'Ready')).to.equal('False NoSigningKey'));
    const third = await keyID('canvas-3');
    expect(await tenant.untilSays('canvas', 'ActionRequired', 'True AcknowledgementRequired')).to.include(
      `set spec.acknowledgedKeyID to ${third}`,
    );
    await operator.travel(5 * day);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Revoked, canvas-2 Revoked, canvas-3 Next');
    await edit({ acknowledgedKeyID: third });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Revoked, canvas-3 Active');
    await inStep();
  });

  it('A suspended registration revokes a key and gets a new signing key', async () => {
    await tenant.apply('canvas', { suspend: true });
    await inStep();
    await edit({ revokedKeyIDs: [await keyID('canvas-1')], rotationTrigger: 'now' });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
    await inStep();
    expect(await tenant.says('canvas', 'Reconciling')).to.equal('False Suspended');
  });

  it('A registration ignores revoked and acknowledged key IDs that it never had', async () => {
    const spec = { keyDistribution: 'Manual' as const, acknowledgedKeyID: 'no-key', revokedKeyIDs: ['nor-this'] };
    await tenant.apply('canvas', spec);
    await inStep();
    expect(await tenant.says('canvas', 'Stalled')).to.equal('False NotStalled');
    expect(await tenant.says('canvas', 'ActionRequired')).to.equal('True AcknowledgementRequired');
    expect(await tenant.says('canvas', 'RevocationEffective')).to.equal('nothing');
  });

  it('A registration that revokes its imported key gets a generated one', async () => {
    const old = new FormerKey();
    await keepKey(tenant, 'old', { 'private.pem': old.pem() });
    const imported = importing({ secretName: 'old', keyID: 'tool-2019' });
    await tenant.apply('canvas', { import: imported, revokedKeyIDs: ['tool-2019'] });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
    await inStep();
    expect(await tenant.accepts(operator.url, 'canvas', await old.sign('tool-2019'))).to.equal(false);
  });

  it('A registration never signs with a revoked key again, even if the revocation is withdrawn', async () => {
    await tenant.apply('canvas');
    await inStep();
    const first = await keyID('canvas-1');
    await edit({ revokedKeyIDs: [first] });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
    await edit({ revokedKeyIDs: [] });
    await operator.travel(hour);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Revoked, canvas-2 Active');
    await inStep();
  });
});
