import { expect } from 'chai';
import { rotateRequestedAtAnnotation } from '../../src/api/names.ts';
import { day, hour, minute, second } from '../../src/domain/duration.ts';
import { controlPlane } from '../fixtures/control-plane.ts';
import { publicUrl, startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

describe('The lifecycle of keys', () => {
  let tenant: Tenant;
  let operator: Operator;

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('lifecycle');
    operator = await startOperator({ namespaces: [tenant.namespace] });
  });

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const now = (): number => operator.clock.now().getTime();
  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');
  const travelTo = (time: string | undefined, plus = 0): Promise<void> =>
    operator.travel(Date.parse(time ?? '') + plus - now());
  const accepted = (token: string): Promise<boolean> => tenant.accepts(operator.url, 'canvas', token);

  it('A registration goes through three rotations with a published key at every moment', async () => {
    await tenant.apply('canvas');
    await tenant.untilStates('canvas', 'canvas-1 Active');
    await inStep();
    const first = await tenant.registration('canvas');
    expect(first.status?.jwksURL).to.equal(`${publicUrl}/registrations/${tenant.namespace}/canvas/jwks.json`);
    for (let revision = 1; revision <= 3; revision++) {
      const retired = Array.from({ length: revision - 1 }, (_, index) => `canvas-${index + 1} Retired, `).join('');
      const [old, next] = [`canvas-${revision}`, `canvas-${revision + 1}`];
      const before = await tenant.registration('canvas');
      const rotation = Date.parse(before.status?.nextRotationTime ?? '');
      const active = Date.parse(before.status?.activeKey?.activatedAt ?? '');
      expect(rotation - active).to.be.within(85.5 * day, 90 * day);
      expect(before.status?.nextKey).to.equal(undefined);

      // Nothing happens before the next key is needed.
      await travelTo(before.status?.nextRotationTime, -24 * hour - 15 * minute);
      expect(await tenant.states('canvas')).to.equal(`${retired}${old} Active`);

      await travelTo(before.status?.nextRotationTime, -24 * hour - 9 * minute);
      await tenant.untilStates('canvas', `${retired}${old} Active, ${next} Next`);
      await eventually(async () => {
        const { status } = await tenant.registration('canvas');
        expect(status?.nextKey?.name).to.equal(next);
        expect(status?.nextKey?.activateAfter).to.equal(before.status?.nextRotationTime);
      });
      await inStep();
      const oldKey = await tenant.delivered('canvas');

      await travelTo(before.status?.nextRotationTime, -2 * minute);
      const lastToken = await oldKey.sign('last');
      await inStep();
      expect((await tenant.delivered('canvas')).kid, 'the old key still signs').to.equal(oldKey.kid);

      await travelTo(before.status?.nextRotationTime, second);
      await tenant.untilStates('canvas', `${retired}${old} Retiring, ${next} Active`);
      await inStep();
      expect(await accepted(lastToken)).to.equal(true);
      const newKey = await tenant.delivered('canvas');
      expect(newKey.kid).not.to.equal(oldKey.kid);
      const after = await tenant.registration('canvas');
      expect(after.status?.activeKey).to.deep.include({ name: next, keyID: newKey.kid });
      expect(after.status?.nextKey).to.equal(undefined);
      expect(after.status?.lastRotationTime).to.equal(after.status?.activeKey?.activatedAt);

      await eventually(async () => expect((await tenant.key(old)).status?.retireAt).to.be.a('string'));
      const { status: retiring } = await tenant.key(old);
      const stopped = Date.parse((await tenant.ledger('canvas')).keys.at(-2)?.stoppedSigningAt ?? '');
      expect(Date.parse(retiring?.retireAt ?? '') - stopped).to.be.within(48 * hour - second, 48 * hour);
      await travelTo(retiring?.retireAt, -10 * minute);
      await inStep();
      expect(await accepted(lastToken)).to.equal(true);

      await travelTo(retiring?.retireAt, 2 * second);
      await tenant.untilStates('canvas', `${retired}${old} Retired, ${next} Active`);
      await inStep();
      expect(await accepted(lastToken)).to.equal(false);
    }
  });

  it('kubectl get shows readiness, active key, next rotation and URL of a registration', async () => {
    await tenant.apply('canvas');
    await inStep();
    const { status } = await tenant.registration('canvas');
    const table = async (kind: string): Promise<string> => {
      const { stdout, stderr, code } = await controlPlane().kubectlRun(['get', kind, '--namespace', tenant.namespace]);
      expect(code, stderr).to.equal(0);
      return stdout;
    };
    const registrations = await table('ltireg');
    expect(registrations).to.match(/^NAME +READY +STATUS +ACTIVE KEY +KEY AGE +NEXT ROTATION +JWKS\n/);
    expect(registrations).to.match(
      new RegExp(`^canvas +True +(?:Ready +)?canvas-1 +\\d+s +${status?.nextRotationTime} +${status?.jwksURL}$`, 'm'),
    );
    const keys = await table('ltikey');
    expect(keys).to.match(/^NAME +REGISTRATION +STATE +KEY ID +AGE +RETIRES\n/);
    expect(keys).to.match(new RegExp(`^canvas-1 +canvas +Active +${status?.activeKey?.keyID} +\\d+s`, 'm'));
  });

  it('A healthy registration reports so in every condition', async () => {
    await tenant.apply('canvas');
    await inStep();
    const { status, metadata } = await tenant.registration('canvas');
    expect(status?.conditions?.map(({ type, status: is, reason }) => `${type} ${is} ${reason}`)).to.deep.equal([
      'Ready True SigningKeyReady',
      'Published True ServedByAllReplicas',
      'KeyMaterialAvailable True KeysDecryptable',
      'Registered True PlatformRecorded',
      'ActionRequired False NoActionRequired',
      'Reconciling False UpToDate',
      'Stalled False NotStalled',
    ]);
    expect(status?.observedGeneration).to.equal(metadata.generation);
    for (const condition of status?.conditions ?? [])
      expect(condition.observedGeneration).to.equal(metadata.generation);
  });

  it('The operator makes up for several missed periods with one rotation', async () => {
    await tenant.apply('canvas');
    await inStep();
    await operator.travel(400 * day);
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    await inStep();
    await operator.travel(25 * hour);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await inStep();
    await operator.travel(49 * hour);
    await tenant.untilStates('canvas', 'canvas-1 Retired, canvas-2 Active');
    await inStep();
  });

  it('A suspended registration starts and ends no rotation, and continues afterwards', async () => {
    await tenant.apply('canvas', { suspend: true });
    await tenant.untilStates('canvas', 'canvas-1 Active');
    await operator.travel(100 * day);
    await eventually(async () => expect(await tenant.says('canvas', 'Reconciling')).to.equal('False Suspended'));
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active');
    expect((await tenant.registration('canvas')).status?.nextRotationTime).to.equal(undefined);

    await tenant.edit('canvas', { suspend: false });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    await inStep();
    await tenant.edit('canvas', { suspend: true });
    await operator.travel(30 * hour);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');

    await tenant.edit('canvas', { suspend: false });
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await inStep();
    await tenant.edit('canvas', { suspend: true });
    await operator.travel(50 * hour);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Retiring, canvas-2 Active');
    await inStep();

    await tenant.edit('canvas', { suspend: false });
    await tenant.untilStates('canvas', 'canvas-1 Retired, canvas-2 Active');
  });

  const requests: readonly { what: string; request: (value: string) => Promise<unknown>; observed: string }[] = [
    {
      what: 'a changed rotationTrigger',
      request: (rotationTrigger) => tenant.edit('canvas', { rotationTrigger }),
      observed: 'observedRotationTrigger',
    },
    {
      what: 'the annotation rotate-requested-at',
      request: (time) => tenant.annotate('canvas', { [rotateRequestedAtAnnotation]: time }),
      observed: 'observedRotateRequest',
    },
  ];
  for (const { what, request, observed } of requests) {
    it(`The operator rotates once for ${what}, and a second request meanwhile adds no rotation`, async () => {
      await tenant.apply('canvas');
      await inStep();
      await request('2026-11-01T00:00:00Z');
      await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
      await inStep();
      await request('2026-11-02T00:00:00Z');
      await eventually(async () => {
        const { status } = await tenant.registration('canvas');
        expect(status).to.have.property(observed, '2026-11-02T00:00:00Z');
      });
      await operator.travel(23 * hour);
      expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
      await operator.travel(hour + minute);
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
      await inStep();
      await operator.travel(49 * hour);
      await tenant.untilStates('canvas', 'canvas-1 Retired, canvas-2 Active');
      await inStep();
    });
  }

  it('A Manual registration waits for the acknowledgement of every next key', async () => {
    await tenant.apply('canvas', { keyDistribution: 'Manual' });
    await inStep();
    const { kid } = await tenant.delivered('canvas');
    const message = await tenant.untilSays('canvas', 'ActionRequired', 'True AcknowledgementRequired');
    expect(message).to.include(`kubectl get ltikey canvas-1 -n ${tenant.namespace}`).and.to.include(kid);
    await tenant.edit('canvas', { acknowledgedKeyID: kid });
    await tenant.untilSays('canvas', 'ActionRequired', 'False NoActionRequired');

    await tenant.edit('canvas', { rotationTrigger: 'staff change' });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    const next = (await tenant.key('canvas-2')).spec.keyID;
    expect(await tenant.untilSays('canvas', 'ActionRequired', 'True AcknowledgementRequired')).to.include(next);
    // The activation delay counts from here.
    await eventually(async () => expect((await tenant.key('canvas-2')).status?.publishedAt).to.be.a('string'));
    await operator.travel(10 * day);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    await inStep();

    await tenant.edit('canvas', { acknowledgedKeyID: next });
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await tenant.untilSays('canvas', 'ActionRequired', 'False NoActionRequired');
    await inStep();
  });

  it('A registration rotates to the requested key size, and discards a next key of another size', async () => {
    await tenant.apply('canvas');
    await inStep();
    await tenant.edit('canvas', { key: { algorithm: 'RS256', size: 3072 } });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    await inStep();
    await tenant.edit('canvas', { key: { algorithm: 'RS256', size: 2048 } });
    // The key that signs has the size that is asked for again.
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Retired');
    await inStep();
    await tenant.edit('canvas', { key: { algorithm: 'RS256', size: 3072 } });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Retired, canvas-3 Next');
    await inStep();
    await operator.travel(25 * hour);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Retired, canvas-3 Active');
    await inStep();
    expect((await tenant.delivered('canvas')).bits).to.equal(3072);
  });

  it('A retiring key follows a changed overlap', async () => {
    await tenant.apply('canvas', { rotationTrigger: 'a' });
    await inStep();
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    await inStep();
    await operator.travel(25 * hour);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await inStep();
    const retireAt = async (): Promise<number> => Date.parse((await tenant.key('canvas-1')).status?.retireAt ?? '');
    await eventually(async () => expect(await retireAt()).to.be.above(now()));
    const planned = await retireAt();

    await tenant.edit('canvas', { overlap: '96h' });
    await eventually(async () => expect(await retireAt()).to.equal(planned + 48 * hour));
    await operator.travel(60 * hour);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Retiring, canvas-2 Active');
    await inStep();

    await tenant.edit('canvas', { overlap: '50h' });
    await tenant.untilStates('canvas', 'canvas-1 Retired, canvas-2 Active');
    await inStep();
  });

  it('A rotation waits while a replica does not serve the next key', async () => {
    await operator.stop();
    let replicas: readonly string[] = [];
    operator = await startOperator({ namespaces: [tenant.namespace], targets: (own) => [own, ...replicas] });
    await tenant.apply('canvas', { rotationTrigger: 'a' });
    await inStep();
    replicas = ['http://127.0.0.1:9'];
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    const { keyID } = (await tenant.key('canvas-2')).spec;
    await eventually(async () => {
      const message = await tenant.untilSays('canvas', 'Reconciling', 'True WaitingForPublication');
      expect(message).to.include('http://127.0.0.1:9/').and.to.include(keyID);
    });
    await operator.travel(30 * hour);
    expect((await tenant.key('canvas-2')).status?.publishedAt).to.equal(undefined);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');

    replicas = [];
    await operator.travel(minute);
    await eventually(async () => expect((await tenant.key('canvas-2')).status?.publishedAt).to.be.a('string'));
    await inStep();
    await operator.travel(23 * hour);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    await operator.travel(2 * hour);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await inStep();
  });

  it('A registration below a minimum does not rotate, and reports which one', async () => {
    await tenant.apply('canvas', { activationDelay: '30m' });
    const delay = await tenant.untilSays('canvas', 'Stalled', 'True ActivationDelayTooShort');
    // max-age 300 s + stale-while-revalidate 60 s + stale-if-error 3600 s + 60 s
    expect(delay).to.include('spec.activationDelay is 30m').and.to.include('1h7m');
    await tenant.untilInStep(operator.url, 'canvas');
    await tenant.edit('canvas', { activationDelay: '2h', overlap: '10m' });
    const overlap = await tenant.untilSays('canvas', 'Stalled', 'True OverlapTooShort');
    expect(overlap).to.include('spec.overlap is 10m').and.to.include('1h');
    await operator.travel(100 * day);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active');
    await tenant.edit('canvas', { overlap: '2h' });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    await tenant.untilSays('canvas', 'Stalled', 'False NotStalled');
  });

  it('The operator activates and retires no key while its clock and that of the API server differ by more than five minutes', async () => {
    await operator.stop();
    let skew = 0;
    operator = await startOperator({ namespaces: [tenant.namespace], clockSkew: () => skew });
    await tenant.apply('canvas', { rotationTrigger: 'a' });
    await inStep();
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    await inStep();
    skew = -6 * minute;
    await operator.travel(30 * hour);
    expect(await tenant.untilSays('canvas', 'Stalled', 'True ClockSkewed')).to.include('6m');
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    skew = 0;
    await operator.travel(2 * minute);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    skew = 6 * minute;
    await operator.travel(60 * hour);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Retiring, canvas-2 Active');
    skew = 0;
    await operator.travel(2 * minute);
    await tenant.untilStates('canvas', 'canvas-1 Retired, canvas-2 Active');
  });

  describe('Revoked keys', () => {
    /** canvas-1 Retiring, canvas-2 Active, canvas-3 Next. */
    async function threeLiveKeys(): Promise<readonly string[]> {
      await tenant.apply('canvas', { overlap: '30d', rotationTrigger: 'a' });
      await inStep();
      await tenant.edit('canvas', { rotationTrigger: 'b' });
      await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
      await inStep();
      await operator.travel(25 * hour);
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
      await tenant.edit('canvas', { rotationTrigger: 'c' });
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active, canvas-3 Next');
      await inStep();
      return (await tenant.keys('canvas')).map(({ spec }) => spec.keyID);
    }

    it('A revoked Retiring key is unpublished at once, and caches keep the rest briefly for a day', async () => {
      const [first = ''] = await threeLiveKeys();
      await tenant.edit('canvas', { revokedKeyIDs: [first] });
      await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active, canvas-3 Next');
      await inStep();
      expect((await tenant.servedOf(operator.url, 'canvas')).cacheControl).to.equal('public, max-age=60');
      await operator.travel(23 * hour);
      expect((await tenant.servedOf(operator.url, 'canvas')).cacheControl).to.equal('public, max-age=60');
      await operator.travel(2 * hour);
      await eventually(async () =>
        expect((await tenant.servedOf(operator.url, 'canvas')).cacheControl).to.match(/^public, max-age=300,/),
      );
    });

    it('A revoked Next key is unpublished at once, and the pending rotation gets another', async () => {
      const [, , third = ''] = await threeLiveKeys();
      await tenant.edit('canvas', { revokedKeyIDs: [third] });
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active, canvas-3 Revoked, canvas-4 Next');
      await inStep();
      await operator.travel(25 * hour);
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Retiring, canvas-3 Revoked, canvas-4 Active');
      await inStep();
    });

    it('The published next key replaces a revoked signing key without waiting', async () => {
      const [, active = ''] = await threeLiveKeys();
      await tenant.edit('canvas', { revokedKeyIDs: [active] });
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Revoked, canvas-3 Active');
      await inStep();
    });

    it('A Retiring key signs again if the signing and the next key are revoked', async () => {
      const [, active = '', next = ''] = await threeLiveKeys();
      await tenant.edit('canvas', { revokedKeyIDs: [active, next] });
      await eventually(async () =>
        expect(await tenant.states('canvas')).to.match(/^canvas-1 Active, canvas-2 Revoked, canvas-3 Revoked/),
      );
      await inStep();
    });

    it('The replacement of a revoked only key signs as soon as it is served', async () => {
      await tenant.apply('canvas');
      await inStep();
      const { kid } = await tenant.delivered('canvas');
      await tenant.edit('canvas', { revokedKeyIDs: [kid] });
      await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
      await inStep();
      expect((await tenant.servedOf(operator.url, 'canvas')).cacheControl).to.equal('public, max-age=60');
    });

    it('A Manual registration without an acknowledged replacement loses its revoked key within a minute', async () => {
      await tenant.apply('canvas', { keyDistribution: 'Manual' });
      await inStep();
      const stolen = await tenant.delivered('canvas');
      const { kid } = stolen;
      const token = await stolen.sign('stolen');
      await tenant.edit('canvas', { revokedKeyIDs: [kid] });
      await eventually(async () => expect((await tenant.key('canvas-2')).status?.publishedAt).to.be.a('string'));
      await operator.travel(50 * second);
      await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Next');
      await eventually(async () => expect(await accepted(token)).to.equal(false));
      await eventually(async () =>
        expect((await tenant.secret('canvas-signing-key'))?.data).to.not.have.any.keys(
          'private.pem',
          'private.jwk',
          'kid',
        ),
      );
      await tenant.untilSays('canvas', 'Ready', 'False NoSigningKey');
      const next = (await tenant.key('canvas-2')).spec.keyID;
      expect(await tenant.untilSays('canvas', 'ActionRequired', 'True AcknowledgementRequired')).to.include(next);

      await tenant.edit('canvas', { acknowledgedKeyID: next });
      await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
      await inStep();
    });
  });
});
