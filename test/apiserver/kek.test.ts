import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ltiRegistrations } from '../../src/api/names.ts';
import { hour, minute } from '../../src/domain/duration.ts';
import { forgetCanaries, startOperator, writeKek, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant, text } from '../fixtures/tenant.ts';

describe('Key-encryption keys', () => {
  let tenant: Tenant;
  let operator: Operator;
  let kekDir: string;

  beforeEach(async () => {
    await forgetCanaries();
    tenant = await Tenant.inNewNamespace('kek');
    kekDir = await mkdtemp(join(tmpdir(), 'kek-'));
    operator = await startOperator({ namespaces: [tenant.namespace], kekDir });
  });

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
    await rm(kekDir, { recursive: true });
  });

  const file = (name: string): string => join(kekDir, name);
  const choose = (id: string): Promise<void> => writeFile(file('primary'), `${id}\n`);
  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');
  const noticed = 35 * 1000;

  const absences: readonly { what: string; reason: string; names: string; prepare: () => Promise<unknown> }[] = [
    { what: 'no file at all', reason: 'KEKPrimaryMissing', names: 'primary', prepare: () => Promise.resolve() },
    { what: 'a primary that names no file', reason: 'KEKMissing', names: 'k1', prepare: () => choose('k1') },
    {
      what: 'a malformed KEK',
      reason: 'KEKMalformed',
      names: 'k1',
      prepare: () => Promise.all([choose('k1'), writeFile(file('k1'), 'c2hvcnQ=\n')]),
    },
  ];
  for (const { what, reason, names, prepare } of absences) {
    it(`A registration without a usable KEK (${what}) names the file, and gets its key once it is corrected`, async () => {
      await prepare();
      await tenant.apply('canvas');
      const message = await tenant.untilSays('canvas', 'Stalled', `True ${reason}`);
      expect(message).to.include(file(names));
      expect(message).to.not.include('c2hvcnQ');
      expect(await tenant.says('canvas', 'KeyMaterialAvailable')).to.equal(`False ${reason}`);
      expect(await tenant.says('canvas', 'Ready')).to.equal('False NoSigningKey');
      await operator.travel(10 * minute);
      expect(await tenant.keys('canvas')).to.deep.equal([]);
      expect(await tenant.secret('canvas-lti-keys')).to.equal(undefined);
      const logged = operator.lines.filter(({ message: said }) => said === 'key-encryption key is not usable');
      expect(logged.map(({ fields }) => fields.reason)).to.include(reason);

      await writeKek(kekDir, 'k1');
      await choose('k1');
      await operator.travel(noticed);
      await inStep();
      expect((await tenant.key('canvas-1')).status?.kekID).to.equal('k1');
    });
  }

  it('A new primary KEK seals new and existing keys, and the former KEK is no longer needed', async () => {
    await writeKek(kekDir, 'k1');
    await choose('k1');
    await tenant.apply('canvas', { rotationTrigger: 'a' });
    await operator.travel(noticed);
    await inStep();
    const { kid } = await tenant.delivered('canvas');
    const sealed = async (): Promise<string> => text(await tenant.ledgerSecret('canvas'), `${kid}.jwe`);
    const old = await sealed();

    await writeKek(kekDir, 'k2');
    await operator.travel(noticed);
    expect(await sealed(), 'while k1 is primary').to.equal(old);
    await choose('k2');
    await operator.travel(noticed);
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    expect(await tenant.says('canvas', 'KeyMaterialAvailable')).to.equal('True KeysDecryptable');
    await inStep();
    await eventually(async () =>
      expect((await tenant.keys('canvas')).map(({ status }) => status?.kekID)).to.deep.equal(['k2', 'k2']),
    );
    expect(await sealed()).to.not.equal(old);
    expect((await tenant.delivered('canvas')).kid, 'the same key').to.equal(kid);

    await rm(file('k1'));
    await operator.travel(40 * minute);
    await operator.travel(25 * hour);
    await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
    await inStep();
    expect(await tenant.says('canvas', 'KeyMaterialAvailable')).to.equal('True KeysDecryptable');
  });

  it('A new primary KEK also seals the keys of deleted registrations', async () => {
    await writeKek(kekDir, 'k1');
    await choose('k1');
    await tenant.apply('canvas', { deletionPolicy: 'Retain' });
    await operator.travel(noticed);
    await inStep();
    const { kid } = await tenant.delivered('canvas');
    await operator.rest();
    await tenant.remove(ltiRegistrations, 'canvas');
    const orphaned = async (): Promise<unknown> =>
      expect((await tenant.key('canvas-1')).status?.conditions?.map(({ type }) => type)).to.include('Orphaned');
    await eventually(orphaned);

    await writeKek(kekDir, 'k2');
    await choose('k2');
    await operator.travel(noticed);
    await eventually(async () => expect((await tenant.key('canvas-1')).status?.kekID).to.equal('k2'));
    await orphaned();

    await rm(file('k1'));
    await operator.travel(noticed);
    await tenant.apply('canvas', { deletionPolicy: 'Retain' });
    await inStep();
    expect((await tenant.delivered('canvas')).kid, 'the same key').to.equal(kid);
    expect(await tenant.says('canvas', 'KeyMaterialAvailable')).to.equal('True KeysDecryptable');
  });

  it('A missing KEK is reported on registration and key, and published and delivered keys stay', async () => {
    await writeKek(kekDir, 'k1');
    await choose('k1');
    await tenant.apply('canvas', { rotationTrigger: 'a' });
    await operator.travel(noticed);
    await inStep();
    await operator.rest();
    const document = (await tenant.servedOf(operator.url, 'canvas')).text;
    const delivery = await tenant.secret('canvas-signing-key');
    const ledger = await tenant.ledgerSecret('canvas');

    await rename(file('k1'), file('.k1'));
    await operator.travel(noticed);
    const message = await tenant.untilSays('canvas', 'KeyMaterialAvailable', 'False SealKEKMissing');
    expect(message).to.include('k1');
    await tenant.untilSays('canvas', 'Stalled', 'True SealKEKMissing');
    await eventually(async () => {
      const { status } = await tenant.key('canvas-1');
      expect(status?.conditions?.map(({ type, status: is, reason }) => [type, is, reason])).to.deep.equal([
        ['KeyMaterialAvailable', 'False', 'SealKEKMissing'],
      ]);
      // A user who removes KEKs that seal nothing must see that this one seals keys.
      expect(status?.kekID).to.equal('k1');
    });
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await operator.travel(40 * minute);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active');
    expect((await tenant.servedOf(operator.url, 'canvas')).text).to.equal(document);
    expect(await tenant.secret('canvas-signing-key')).to.deep.equal(delivery);
    expect(await tenant.ledgerSecret('canvas')).to.deep.equal(ledger);

    await rename(file('.k1'), file('k1'));
    await operator.travel(noticed);
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    await inStep();
    await tenant.untilSays('canvas', 'Stalled', 'False NotStalled');
  });

  it('A KEK with other bytes under the same name is refused while the former bytes are in use', async () => {
    await writeKek(kekDir, 'k1');
    await choose('k1');
    await tenant.apply('canvas', { rotationTrigger: 'a' });
    await operator.travel(noticed);
    await inStep();
    const former = await readFile(file('k1'));
    await writeKek(kekDir, 'k1');
    await operator.travel(noticed);
    await tenant.edit('canvas', { rotationTrigger: 'b' });
    await eventually(async () => expect(await tenant.says('canvas', 'KeyMaterialAvailable')).to.match(/^False /));
    expect((await tenant.condition('canvas', 'KeyMaterialAvailable'))?.message).to.include(file('k1'));
    await operator.travel(40 * minute);
    expect(await tenant.states('canvas')).to.equal('canvas-1 Active');
    await writeFile(file('k1'), former);
    await operator.travel(noticed);
    await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
    await inStep();
  });
});
