import { expect } from 'chai';
import { second } from '../../../src/domain/duration.ts';
import { plan } from '../../../src/domain/key-plan.ts';
import { aKey, aLedger, epoch } from '../../builders/ledger.ts';
import { aLifecycle } from '../../builders/situation.ts';

describe('when a registration is looked at again', () => {
  const ledger = aLedger([aKey(1, 'Active')]);

  it('is soon while a replica, which may just have started, does not serve the key that signs', () => {
    expect(plan(aLifecycle({ ledger, served: [] })).nextCheckAt).to.equal(epoch + 30 * second);
  });

  it('is not before something is due while every replica does', () => {
    expect(plan(aLifecycle({ ledger })).nextCheckAt).to.be.greaterThan(epoch + 30 * second);
  });
});
