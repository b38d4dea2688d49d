import { expect } from 'chai';
import { hour, second } from '../../../src/domain/duration.ts';
import { plan } from '../../../src/domain/key-plan.ts';
import { aKey, aLedger, epoch } from '../../builders/ledger.ts';
import { aLifecycle } from '../../builders/situation.ts';

describe('The next check of a registration', () => {
  const ledger = aLedger([aKey(1, 'Active')]);

  it('The next check of a registration is when a step is due if every replica serves the signing key', () => {
    expect(plan(aLifecycle({ ledger })).nextCheckAt).to.be.greaterThan(epoch + 30 * second);
  });

  it('The next check of a registration is the same while a replica does not serve the signing key: replicas are polled anyway', () => {
    expect(plan(aLifecycle({ ledger, served: [] })).nextCheckAt).to.equal(plan(aLifecycle({ ledger })).nextCheckAt);
  });

  it('The next check of a registration is when a key that no replica serves is no longer new, and is not repeated', () => {
    const made = aLedger([
      aKey(1, 'Active'),
      { ...aKey(2, 'Next'), publishedAt: undefined as never, createdAt: epoch },
    ]);
    const at = (now: number) => plan(aLifecycle({ ledger: made, served: [aKey(1, 'Active').keyID], now })).nextCheckAt;
    expect(at(epoch)).to.equal(epoch + 4 * second);
    expect(at(epoch + 4 * second)).to.satisfy((time?: number) => time === undefined || time > epoch + 34 * second);
  });

  it('The next check of a registration is when a next key that was not fetched is reported, and then when it signs', () => {
    const next = aKey(2, 'Next', { publishedAt: epoch, cause: 'Request' });
    const at = (now: number, complete = true) =>
      plan(aLifecycle({ ledger: aLedger([aKey(1, 'Active'), next]), fetches: { complete }, now })).nextCheckAt;
    expect(at(epoch)).to.equal(epoch + 12 * hour);
    expect(at(epoch + 12 * hour)).to.equal(epoch + 24 * hour);
    expect(at(epoch, false), 'while fetches are unknown').to.equal(epoch + 24 * hour);
  });

  it('The next check of a registration is not repeated while a replica serves a revoked key', () => {
    const revoked = { ...aKey(2, 'Revoked'), revokedAt: epoch };
    const withRevoked = aLedger([aKey(1, 'Active'), revoked]);
    expect(plan(aLifecycle({ ledger: withRevoked })).nextCheckAt).to.be.greaterThan(epoch + 90 * second);
  });
});
