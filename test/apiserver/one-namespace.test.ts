import { expect } from 'chai';
import { ltiRegistrations } from '../../src/api/names.ts';
import { second } from '../../src/domain/duration.ts';
import { startOperator, type Operator } from '../fixtures/operator.ts';
import { OneNamespace } from '../fixtures/one-namespace.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

describe('The rights of deploy/one-namespace', () => {
  let tenant: Tenant;
  let operator: Operator;
  let installation: OneNamespace;

  before(async () => {
    tenant = await Tenant.inNewNamespace('one');
    installation = await OneNamespace.for(tenant.namespace);
    const { kubeconfig } = installation;
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

  describe('under deletionPolicy Delete', () => {
    const removed = (name: string): Promise<void> =>
      eventually(async () => {
        expect(await tenant.keys(name)).to.deep.equal([]);
        expect(await tenant.secret(`${name}-lti-keys`)).to.equal(undefined);
        expect(await tenant.secret(`${name}-signing-key`)).to.equal(undefined);
      });

    it('An operator for one namespace removes everything', async () => {
      await tenant.apply('moodle', { deletionPolicy: 'Delete' });
      await tenant.untilInStep(operator.url, 'moodle');
      await tenant.remove(ltiRegistrations, 'moodle');
      await removed('moodle');
    });

    it('An operator that may not read the CRD removes nothing, says why, and continues once it may', async () => {
      await tenant.apply('sakai', { deletionPolicy: 'Delete' });
      await tenant.untilInStep(operator.url, 'sakai');
      await operator.rest();
      await installation.withholdDefinition();
      await tenant.remove(ltiRegistrations, 'sakai');
      await eventually(async () => {
        const [key] = await tenant.keys('sakai');
        const orphaned = key?.status?.conditions?.find(({ type }) => type === 'Orphaned');
        expect(orphaned).to.include({ status: 'True', reason: 'DeletionUnconfirmed' });
        expect(orphaned?.message).to.match(
          /cannot read CustomResourceDefinition .*: 403 Forbidden: .*apply deploy\/rbac/,
        );
      });
      expect(await tenant.secret('sakai-lti-keys')).to.not.equal(undefined);
      expect(await tenant.secret('sakai-signing-key')).to.not.equal(undefined);
      await installation.grantDefinition();
      await eventually(async () => {
        await operator.travel(31 * second);
        expect(await tenant.keys('sakai')).to.deep.equal([]);
      });
      await removed('sakai');
    });
  });
});
