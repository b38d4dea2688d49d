import { expect } from 'chai';
import { ledgerEntry, ledgerSecretName, secrets } from '../../src/api/names.ts';
import { day, hour, minute, second } from '../../src/domain/duration.ts';
import { untilResync } from '../../src/domain/timing.ts';
import { FrozenReplica } from '../fixtures/frozen-replica.ts';
import { forgetCanaries, startOperator, type Operator } from '../fixtures/operator.ts';
import { base64, eventually, Tenant, text } from '../fixtures/tenant.ts';

/** A minute with a tenth more or less, so that looks do not come together. */
const interval = 66 * second;

/** What the operator finds when it looks, for nothing tells it: Secrets are not watched, and documents are fetched. */
describe('Periodic and requested reconciles', () => {
  let tenant: Tenant;
  let operator: Operator;
  let others: readonly string[] = [];

  before(async () => {
    await forgetCanaries();
    tenant = await Tenant.inNewNamespace('looks');
    operator = await startOperator({ namespaces: [tenant.namespace], targets: (own) => [own, ...others] });
  });
  after(async () => {
    await operator.stop();
    await tenant.leave();
  });
  afterEach(() => (others = []));

  const inStep = (name: string): Promise<void> => tenant.untilInStep(operator.url, name);
  const ready = async (name: string, spec: Parameters<Tenant['apply']>[1] = {}): Promise<string> => {
    await tenant.apply(name, { rotationTrigger: 'a', ...spec });
    await inStep(name);
    await operator.rest();
    return (await tenant.delivered(name)).kid;
  };
  /** Lets a look that is due within seconds pass: the next one is then far enough away. */
  const passLook = async (name: string): Promise<void> => {
    const left = untilResync(tenant.namespace, name, minute, operator.clock.now().getTime());
    if (left < minute / 2) await operator.travel(left + second);
  };

  describe('Deleted Secrets', () => {
    const ways: readonly (readonly [string, (name: string) => Promise<unknown>])[] = [
      ['within a minute if registrations are few', () => operator.travel(interval)],
      ['at once if an annotation asks for it', (name) => tenant.annotate(name, { 'ltikeys.dev/look-now': 'please' })],
    ];
    for (const [index, [title, look]] of ways.entries()) {
      it(`The operator detects a deleted ledger ${title}`, async () => {
        const name = `ledger-${index}`;
        await ready(name);
        const ledger = await tenant.ledgerSecret(name);
        await passLook(name);
        await tenant.remove(secrets, ledgerSecretName(name));
        await operator.rest();
        expect(await tenant.says(name, 'Stalled'), 'the premise').to.equal('False NotStalled');
        await look(name);
        await tenant.untilSays(name, 'Stalled', 'True LedgerMissing');
        await tenant.restore(ledger);
        await tenant.annotate(name, { 'ltikeys.dev/look-now': 'again' });
        await inStep(name);
      });

      it(`The operator restores a deleted delivery Secret ${title}`, async () => {
        const name = `delivery-${index}`;
        const kid = await ready(name);
        await passLook(name);
        await tenant.remove(secrets, `${name}-signing-key`);
        await operator.rest();
        expect(await tenant.secret(`${name}-signing-key`), 'the premise').to.equal(undefined);
        await look(name);
        await inStep(name);
        expect((await tenant.delivered(name)).kid).to.equal(kid);
      });
    }
  });

  it('The operator does not change a ledger with members of another release, and keeps publishing', async () => {
    const kid = await ready('mixed');
    const intact = await tenant.ledgerSecret('mixed');
    const content: { keys: readonly object[] } = JSON.parse(text(intact, ledgerEntry));
    const variants = [
      { ...content, retention: 'forever' },
      { ...content, keys: content.keys.map((key) => ({ ...key, pinned: true })) },
      { ...content, deletionPolicy: 'Archive' },
    ];
    for (const [index, variant] of variants.entries()) {
      const stored = base64(JSON.stringify(variant));
      await tenant.replaceSecret(ledgerSecretName('mixed'), (data) => ({ ...data, [ledgerEntry]: stored }));
      await tenant.edit('mixed', { rotationTrigger: `b${index}` });
      await tenant.untilSays('mixed', 'Stalled', 'True LedgerFormatUnknown');
      await operator.travel(2 * hour);
      expect((await tenant.ledgerSecret('mixed')).data?.[ledgerEntry]).to.equal(stored);
      expect((await tenant.servedOf(operator.url, 'mixed')).keyIDs).to.deep.equal([kid]);
      expect((await tenant.delivered('mixed')).kid).to.equal(kid);
      await tenant.edit('mixed', { rotationTrigger: 'a' });
      await tenant.restore(intact);
      await operator.travel(minute);
      await inStep('mixed');
    }
  });

  it('Revoking a key whose successor is pending causes one rotation', async () => {
    await ready('once', { overlap: '20d', rotateAfter: '90d' });
    await tenant.edit('once', { rotationTrigger: 'b' });
    await tenant.untilStates('once', 'once-1 Active, once-2 Next');
    await inStep('once');
    await operator.travel(25 * hour);
    await tenant.untilStates('once', 'once-1 Retiring, once-2 Active');
    await inStep('once');
    const replica = await FrozenReplica.before(operator.url);
    for (const path of ['/.well-known/jwks.json', `/namespaces/${tenant.namespace}/jwks.json`])
      await tenant.served(replica.url, path);
    await tenant.servedOf(replica.url, 'once');
    replica.freeze();
    others = [replica.url];
    await tenant.edit('once', { rotationTrigger: 'c' });
    await tenant.untilStates('once', 'once-1 Retiring, once-2 Active, once-3 Next');
    const revoked = (await tenant.key('once-2')).spec.keyID;
    await tenant.edit('once', { revokedKeyIDs: [revoked] });
    await tenant.untilStates('once', 'once-1 Active, once-2 Revoked, once-3 Next');
    replica.thaw();
    await operator.travel(minute);
    await inStep('once');
    await operator.travel(25 * hour);
    await tenant.untilStates('once', 'once-1 Retiring, once-2 Revoked, once-3 Active');
    await operator.travel(2 * day);
    await inStep('once');
    expect(await tenant.states('once')).to.equal('once-1 Retiring, once-2 Revoked, once-3 Active');
    await replica.close();
  });

  it('The activation delay restarts if a replica no longer serves the next key', async () => {
    await ready('vanished');
    const replica = await FrozenReplica.before(operator.url);
    for (const path of ['/.well-known/jwks.json', `/namespaces/${tenant.namespace}/jwks.json`])
      await tenant.served(replica.url, path);
    await tenant.servedOf(replica.url, 'vanished');
    replica.freeze();
    await tenant.edit('vanished', { rotationTrigger: 'b' });
    await tenant.untilStates('vanished', 'vanished-1 Active, vanished-2 Next');
    await inStep('vanished');
    const due = (await tenant.registration('vanished')).status?.nextKey?.activateAfter;
    expect(due).to.not.equal(undefined);
    await operator.travel(12 * hour);
    others = [replica.url];
    await operator.travel(interval);
    await eventually(async () => expect((await tenant.ledger('vanished')).keys[1]?.publishedAt).to.equal(undefined));
    await operator.travel(13 * hour);
    expect(await tenant.states('vanished')).to.equal('vanished-1 Active, vanished-2 Next');
    others = [];
    await operator.travel(interval);
    await inStep('vanished');
    const again = (await tenant.registration('vanished')).status?.nextKey?.activateAfter;
    expect(Date.parse(again!) - Date.parse(due!)).to.be.above(24 * hour);
    await operator.travel(25 * hour);
    await tenant.untilStates('vanished', 'vanished-1 Retiring, vanished-2 Active');
    await replica.close();
  });
});
