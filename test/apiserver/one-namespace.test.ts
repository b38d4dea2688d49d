import { expect } from 'chai';
import { startOperator, type Operator } from '../fixtures/operator.ts';
import { OneNamespace } from '../fixtures/one-namespace.ts';
import { Tenant } from '../fixtures/tenant.ts';

describe('The rights of deploy/one-namespace', () => {
  let tenant: Tenant;
  let operator: Operator;

  before(async () => {
    tenant = await Tenant.inNewNamespace('one');
    const { kubeconfig } = await OneNamespace.for(tenant.namespace);
    operator = await startOperator({ namespaces: [tenant.namespace], kubeconfig });
  });
  after(async () => {
    await operator.stop();
    await tenant.leave();
  });

  it('An operator for one namespace makes, publishes and delivers a key', async () => {
    await tenant.apply('canvas');
    await tenant.untilInStep(operator.url, 'canvas');
  });

  it('An operator for one namespace rotates and revokes', async () => {
    const { kid } = await tenant.delivered('canvas');
    await tenant.edit('canvas', { revokedKeyIDs: [kid] });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
    await tenant.untilInStep(operator.url, 'canvas');
    expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).to.not.include(kid);
  });
});
