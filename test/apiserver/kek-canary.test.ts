import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { canarySecretName, ledgerSecretName } from '../../src/api/names.ts';
import { minute } from '../../src/domain/duration.ts';
import { OneNamespace } from '../fixtures/one-namespace.ts';
import { startOperator, writeKek, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

describe('Canaries of key-encryption keys', () => {
  let tenant: Tenant;
  let operator: Operator;
  let kekDir: string;
  /** The rights of an operator for one namespace, with or without those on its canaries. */
  let account: OneNamespace;

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('canary');
    account = await OneNamespace.for(tenant.namespace);
    kekDir = await mkdtemp(join(tmpdir(), 'kek-'));
    await writeKek(kekDir, 'k1');
    await writeFile(join(kekDir, 'primary'), 'k1\n');
  });
  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
    await rm(kekDir, { recursive: true });
  });

  async function start(): Promise<void> {
    operator = await startOperator({ namespaces: [tenant.namespace], kekDir, kubeconfig: account.kubeconfig });
  }
  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');

  it('A new registration names the canary Secret that the operator may not read, and gets its key once it may', async () => {
    await account.withholdCanaries();
    await start();
    await tenant.apply('canvas');
    const message = await tenant.untilSays('canvas', 'Stalled', 'True KEKUnverified');
    expect(message).to.include(`Secret ${account.namespace}/${canarySecretName}`).and.include('403 Forbidden');
    expect(message).to.include('get, create and update');
    expect(await tenant.says('canvas', 'Ready')).to.equal('False NoSigningKey');
    expect(await tenant.secret(ledgerSecretName('canvas'))).to.equal(undefined);
    await eventually(async () => {
      const logged = operator.lines.filter(({ message: said }) => said === 'key-encryption key is not usable');
      expect(logged.map(({ fields }) => fields.reason)).to.include('KEKUnverified');
    });
    await account.grantCanaries();
    await operator.travel(minute);
    await inStep();
  });

  it('Canaries that become unreadable do not delay revocation, delivery or status', async () => {
    await start();
    await tenant.apply('canvas');
    await inStep();
    const { kid } = await tenant.delivered('canvas');
    await operator.stop();
    await account.withholdCanaries();
    await start();
    await tenant.edit('canvas', { revokedKeyIDs: [kid], delivery: { secretName: 'canvas-renamed' } });
    await eventually(async () => {
      expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).to.not.include(kid);
      expect((await tenant.delivered('canvas', 'canvas-renamed')).kid).to.not.equal(kid);
    });
    await eventually(async () => {
      const { metadata, status } = await tenant.registration('canvas');
      expect(status?.observedGeneration).to.equal(metadata.generation);
    });
  });

  it('A registration reports KEKChanged after a restart with other KEK bytes until the former key is back', async () => {
    await start();
    await tenant.apply('canvas');
    await inStep();
    const ledger = await tenant.ledgerSecret('canvas');
    await operator.stop();
    const former = await readFile(join(kekDir, 'k1'));
    await writeKek(kekDir, 'k1');
    await start();
    const message = await tenant.untilSays('canvas', 'KeyMaterialAvailable', 'False KEKChanged');
    expect(message)
      .to.include('Put the former key back')
      .and.not.match(/restore/i);
    await tenant.untilSays('canvas', 'Stalled', 'True KEKChanged');
    await tenant.untilSays('canvas', 'Ready', 'True SigningKeyReady');
    await writeFile(join(kekDir, 'k1'), former);
    await operator.travel(minute);
    await tenant.untilSays('canvas', 'KeyMaterialAvailable', 'True KeysDecryptable');
    await inStep();
    expect(await tenant.ledgerSecret('canvas')).to.deep.equal(ledger);
  });
});
