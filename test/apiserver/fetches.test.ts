import { expect } from 'chai';
import { hour, minute } from '../../src/domain/duration.ts';
import { type Operator, startOperator } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

/** Real requests to a real sidecar decide when a key signs. */
describe('With activation AfterFetch', () => {
  let tenant: Tenant;
  let operator: Operator;

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  /** The activation delay of canvas-2 is over, and no client has fetched it. Returns the message of the condition. */
  async function held(collectFetches: boolean): Promise<string> {
    tenant = await Tenant.inNewNamespace('fetches');
    operator = await startOperator({ namespaces: [tenant.namespace], collectFetches });
    await tenant.apply('canvas', { activation: 'AfterFetch' });
    await tenant.untilStates('canvas', 'canvas-1 Active');
    await fetchDocument();
    await tenant.edit('canvas', { rotationTrigger: 'now' });
    await eventually(async () => expect((await tenant.key('canvas-2')).status?.publishedAt).to.be.a('string'));
    await operator.travel(25 * hour);
    const message = await tenant.untilSays('canvas', 'ActionRequired', 'True FetchRequired');
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    expect(await tenant.says('canvas', 'Ready')).to.equal('True SigningKeyReady');
    return message;
  }

  async function fetchDocument(): Promise<void> {
    const { status } = await fetch(`${operator.url}/registrations/${tenant.namespace}/canvas/jwks.json`);
    expect(status).to.equal(200);
  }

  it('A next key does not sign before a client has fetched it', async () => {
    const message = await held(true);
    expect(message).to.include((await tenant.key('canvas-2')).spec.keyID);
    await fetchDocument();
    await eventually(async () => {
      await operator.travel(minute);
      expect(await tenant.states('canvas')).to.equal('canvas-1 Retiring, canvas-2 Active');
    });
    await tenant.untilSays('canvas', 'ActionRequired', 'False NoActionRequired');
    const published = Date.parse((await tenant.key('canvas-2')).status?.publishedAt ?? '');
    expect(Date.parse((await tenant.registration('canvas')).status?.lastFetchTime ?? '')).to.be.at.least(published);
  });

  it('A next key that was not fetched replaces a revoked signing key at once', async () => {
    await held(true);
    const { keyID } = (await tenant.key('canvas-1')).spec;
    await tenant.edit('canvas', { revokedKeyIDs: [keyID] });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
  });

  it('A next key whose fetches no replica reports signs once a person acknowledges it', async () => {
    expect(await held(false)).to.include('Not every replica reports its fetches');
    await fetchDocument();
    await operator.travel(2 * minute);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
    await tenant.edit('canvas', { acknowledgedKeyID: (await tenant.key('canvas-2')).spec.keyID });
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
  });
});
