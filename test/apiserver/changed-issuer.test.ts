import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { stringify } from 'yaml';
import { allKeysPath, apiVersion, ledgerSecretName, ltiRegistrations } from '../../src/api/names.ts';
import { minute, second } from '../../src/domain/duration.ts';
import { controlPlane } from '../fixtures/control-plane.ts';
import { eventsOf } from '../fixtures/refused-requests.ts';
import { makeKekDirectory, startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant, text } from '../fixtures/tenant.ts';

const former = 'https://lms.example.edu';
const other = 'https://other.example.org';

/** What users do about an immutable field: delete and apply, in one command. */
describe('Replacing a registration by one with another issuer', () => {
  let tenant: Tenant;
  let operator: Operator;
  let kekDir: string;

  before(async () => {
    kekDir = await makeKekDirectory();
    tenant = await Tenant.inNewNamespace('issuer');
    operator = await startOperator({ namespaces: [tenant.namespace], kekDir });
  });
  after(async () => {
    await operator.stop();
    await rm(kekDir, { recursive: true });
    await tenant.leave();
  });

  const manifest = (name: string, issuer: string, deletionPolicy: string): string =>
    stringify({
      apiVersion,
      kind: 'LtiRegistration',
      metadata: { name, namespace: tenant.namespace },
      spec: { issuer, delivery: { secretName: `${name}-signing-key` }, deletionPolicy },
    });
  const kubectl = async (args: readonly string[], input: string): Promise<void> => {
    const { code, stderr } = await controlPlane().kubectlRun([...args, '--filename', '-'], { input });
    expect(code, stderr).to.equal(0);
  };
  const replaceByForce = (...of: Parameters<typeof manifest>): Promise<void> =>
    kubectl(['replace', '--force'], manifest(...of));
  const ready = async (name: string, deletionPolicy: 'Retain' | 'Delete'): Promise<string> => {
    await kubectl(['apply'], manifest(name, former, deletionPolicy));
    await tenant.untilInStep(operator.url, name);
    await operator.rest();
    return (await tenant.delivered(name)).kid;
  };

  it('A replacement under Retain does not get the keys of the former issuer, and reports why', async () => {
    const kid = await ready('r19-retain', 'Retain');
    const ledger = await tenant.ledgerSecret('r19-retain');
    const delivered = await tenant.secret('r19-retain-signing-key');
    await replaceByForce('r19-retain', other, 'Retain');
    const told = await tenant.untilSays('r19-retain', 'Stalled', 'True IssuerChanged');
    expect(told).to.include(`holds the keys of issuer ${former}, which must not be shared with issuer ${other}`);
    expect(await tenant.says('r19-retain', 'Ready')).to.equal('False IssuerChanged');
    expect((await tenant.registration('r19-retain')).status?.activeKey).to.equal(undefined);
    await operator.travel(40 * minute);
    expect((await tenant.ledgerSecret('r19-retain')).data).to.deep.equal(ledger.data);
    expect((await tenant.secret('r19-retain-signing-key'))?.data).to.deep.equal(delivered?.data);
    expect(await tenant.states('r19-retain')).to.equal('r19-retain-1 Active');
    await eventually(async () =>
      expect((await eventsOf(tenant, 'IssuerChanged', 'r19-retain')).join()).to.match(
        /^Warning: ledger Secret .* holds the keys of issuer/,
      ),
    );

    // The former one goes on with its keys when it returns.
    await replaceByForce('r19-retain', former, 'Retain');
    await tenant.untilInStep(operator.url, 'r19-retain');
    expect((await tenant.delivered('r19-retain')).kid).to.equal(kid);
  });

  it('A replacement under Retain can still revoke the former key', async () => {
    const kid = await ready('leaving', 'Retain');
    await replaceByForce('leaving', other, 'Retain');
    await tenant.untilSays('leaving', 'Stalled', 'True IssuerChanged');
    await tenant.edit('leaving', { revokedKeyIDs: [kid] });
    await operator.travel(minute);
    await eventually(async () => {
      expect((await tenant.servedOf(operator.url, 'leaving')).keyIDs).to.not.include(kid);
      expect((await tenant.secret('leaving-signing-key'))?.data ?? {}).to.not.have.any.keys('kid', 'private.pem');
    });
  });

  it('A replacement under Retain gets new keys once the former keys are removed', async () => {
    const kid = await ready('handed-over', 'Retain');
    await tenant.edit('handed-over', { deletionPolicy: 'Delete' });
    await operator.rest();
    await tenant.remove(ltiRegistrations, 'handed-over');
    await eventually(async () => expect(await tenant.keys('handed-over')).to.deep.equal([]));
    await operator.travel(31 * second);
    await kubectl(['apply'], manifest('handed-over', other, 'Retain'));
    await tenant.untilInStep(operator.url, 'handed-over');
    expect((await tenant.delivered('handed-over')).kid).to.not.equal(kid);
  });

  for (const attempt of [1, 2, 3]) {
    it(`A replacement under Delete gets new keys immediately, without a report of a lost ledger (${attempt})`, async () => {
      const name = `quick-${attempt}`;
      const kid = await ready(name, 'Delete');
      await replaceByForce(name, other, 'Delete');
      await operator.travel(minute);
      await eventually(async () => expect((await tenant.delivered(name)).kid).to.not.equal(kid));
      await operator.travel(minute);
      await tenant.untilInStep(operator.url, name);
      const ofTool = await tenant.secret(`${name}-signing-key`);
      expect(JSON.parse(text(ofTool!, 'registration.json'))).to.include({ issuer: other });
      expect((await tenant.served(operator.url, allKeysPath)).keyIDs).to.not.include(kid);
      expect(await eventsOf(tenant, 'LedgerMissing', name)).to.deep.equal([]);
      const told = operator.lines.filter(({ fields }) => fields.name === name && fields.reason === 'LedgerMissing');
      expect(told).to.deep.equal([]);
    });
  }

  it('The operator detects a replacement that happened while it was down', async () => {
    const retained = await ready('down-retain', 'Retain');
    const deleted = await ready('down-delete', 'Delete');
    const { clock } = operator;
    await operator.stop();
    await replaceByForce('down-retain', other, 'Retain');
    await replaceByForce('down-delete', other, 'Delete');
    operator = await startOperator({ namespaces: [tenant.namespace], clock, kekDir });
    await tenant.untilSays('down-retain', 'Stalled', 'True IssuerChanged');
    expect((await tenant.ledger('down-retain')).activeKeyID).to.equal(retained);
    await operator.travel(minute);
    await eventually(async () => expect((await tenant.delivered('down-delete')).kid).to.not.equal(deleted));
  });

  it('A ledger of an earlier release without an issuer adopts the present one', async () => {
    const kid = await ready('earlier', 'Retain');
    await tenant.replaceSecret(ledgerSecretName('earlier'), (data) => {
      const { issuer: _, ...ledger } = JSON.parse(Buffer.from(data['ledger.json']!, 'base64').toString());
      return { ...data, 'ledger.json': Buffer.from(JSON.stringify(ledger)).toString('base64') };
    });
    await operator.travel(2 * minute);
    await eventually(async () => {
      expect(JSON.parse(text(await tenant.ledgerSecret('earlier'), 'ledger.json'))).to.include({ issuer: former });
    });
    await tenant.untilInStep(operator.url, 'earlier');
    expect((await tenant.delivered('earlier')).kid).to.equal(kid);
  });
});
