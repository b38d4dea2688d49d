import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { canarySecretName, ledgerSecretName, operatorName, secrets } from '../../src/api/names.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { kekIDOf } from '../../src/crypto/wrapped-key.ts';
import { minute, second } from '../../src/domain/duration.ts';
import { forgetCanaries, makeKekDirectory, startOperator, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';
import { Plugin } from '../fixtures/kms-plugin.ts';

describe('An operator with its key-encryption key in a KMS', () => {
  let plugin: Plugin;
  let tenant: Tenant;
  let operator: Operator;

  beforeEach(async () => {
    plugin = new Plugin();
    [tenant] = await Promise.all([Tenant.inNewNamespace('kms'), plugin.start()]);
    await forgetCanaries();
    await start();
    await tenant.apply('canvas', { rotationTrigger: 'a' });
    await inStep();
  });
  afterEach(async () => {
    await stop();
    await tenant.leave();
    await plugin.dispose();
  });

  async function start(kekDir?: string): Promise<void> {
    operator = await startOperator({
      namespaces: [tenant.namespace],
      kekOptions: [`--kms-socket=${plugin.socket}`, ...(kekDir === undefined ? [] : [`--kek-dir=${kekDir}`])],
    });
  }
  const stop = (): Promise<void> => operator.stop();
  const canaries = (): Promise<Secret> => tenant.client.get<Secret>(secrets, operatorName, canarySecretName);
  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');
  const kekIDs = async () => (await tenant.keys('canvas')).map(({ status }) => status?.kekID);
  const served = async () => (await tenant.servedOf(operator.url, 'canvas')).text;
  /** Advances the clock in small steps until the assertion holds. */
  const inTime = (assertion: () => Promise<unknown>): Promise<void> =>
    eventually(async () => {
      await operator.travel(15 * second);
      await assertion();
    });

  it('The operator seals keys under the KMS, shows the short name of its key, and opens them after a restart', async () => {
    expect(await kekIDs()).to.deep.equal([kekIDOf('kek-1')]);
    const before = await tenant.ledgerSecret('canvas');
    await stop();
    await start();
    await inTime(() => tenant.expectInStep(operator.url, 'canvas'));
    expect(await tenant.says('canvas', 'KeyMaterialAvailable')).to.equal('True KeysDecryptable');
    expect((await tenant.ledgerSecret('canvas')).data).to.deep.equal(before.data);
  });

  it('The operator re-seals its keys when the KMS rotates its key, and nothing else changes', async () => {
    const { kid } = await tenant.delivered('canvas');
    const document = await served();
    plugin.behave('ok', 'kek-2');
    await inTime(async () => expect(await kekIDs()).to.deep.equal([kekIDOf('kek-2')]));
    await inStep();
    expect((await tenant.delivered('canvas')).kid).to.equal(kid);
    expect(await served()).to.equal(document);
  });

  it('The operator re-seals its keys on a move to a KEK file and back, and nothing else changes', async () => {
    const { kid } = await tenant.delivered('canvas');
    const document = await served();
    const kekDir = await makeKekDirectory();
    await stop();
    await start(kekDir);
    await inTime(async () => expect(await kekIDs()).to.deep.equal(['k1']));
    await rm(join(kekDir, 'primary'));
    await inTime(async () => expect(await kekIDs()).to.deep.equal([kekIDOf('kek-1')]));
    await rm(kekDir, { recursive: true });
    await stop();
    await start();
    await inTime(() => tenant.expectInStep(operator.url, 'canvas'));
    expect((await tenant.delivered('canvas')).kid).to.equal(kid);
    expect(await served()).to.equal(document);
  });

  for (const [what, fail, reason] of [
    ['is down', () => plugin.stop(), 'KMSUnavailable'],
    ['answers nothing', () => plugin.behave('slow'), 'KMSUnavailable'],
    ['is not healthy', () => plugin.behave('unhealthy'), 'KMSUnhealthy'],
    ['answers garbage', () => plugin.behave('status-garbage'), 'KMSMalformed'],
  ] as const) {
    it(`The operator makes no key while the KMS ${what}, reports why, keeps serving, and makes it afterwards`, async () => {
      const document = await served();
      const before = await tenant.ledgerSecret('canvas');
      await fail();
      await operator.travel(4 * minute);
      await tenant.edit('canvas', { rotationTrigger: 'b' });
      const message = await tenant.untilSays('canvas', 'Stalled', `True ${reason}`);
      expect(message).to.include(plugin.socket);
      expect(await tenant.says('canvas', 'Ready')).to.equal('True SigningKeyReady');
      await operator.travel(10 * minute);
      expect(await tenant.states('canvas')).to.equal('canvas-1 Active');
      expect((await tenant.ledgerSecret('canvas')).data).to.deep.equal(before.data);
      expect(await served()).to.equal(document);
      const logged = operator.lines.filter(({ message: said }) => said === 'key-encryption key is not usable');
      expect(logged.map(({ fields }) => fields.reason)).to.include(reason);

      plugin.behave('ok');
      if (reason === 'KMSUnavailable') await plugin.stop().then(() => plugin.start());
      await inTime(async () => expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next'));
      await inStep();
    });
  }

  it('The operator seals and overwrites nothing if the KMS has another key under the same key_id', async () => {
    const before = await tenant.ledgerSecret('canvas');
    const document = await served();
    expect(Object.keys((await canaries()).data ?? {})).to.deep.equal([kekIDOf('kek-1')]);
    await stop();
    plugin.behave('ok', 'kek-1', 'other bytes');
    await start();
    await tenant.untilSays('canvas', 'KeyMaterialAvailable', 'False SealKEKMissing');
    await tenant.apply('moodle');
    const message = await tenant.untilSays('moodle', 'Stalled', 'True KMSRefused');
    expect(message).to.include('the key in the KMS may be deleted or replaced');
    await operator.travel(minute);
    expect(await tenant.secret(ledgerSecretName('moodle'))).to.equal(undefined);
    expect((await tenant.ledgerSecret('canvas')).data).to.deep.equal(before.data);
    expect(await served()).to.equal(document);

    plugin.behave('ok');
    await inTime(async () => expect(await tenant.says('moodle', 'Ready')).to.equal('True SigningKeyReady'));
    await inStep();
  });
});
