import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ledgerSecretName } from '../../src/api/names.ts';
import { CanariedKekProvider, canarySecretName } from '../../src/controllers/kek-canary.ts';
import { FileKekProvider } from '../../src/crypto/file-kek-provider.ts';
import { minute } from '../../src/domain/duration.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { controlPlane } from './bed.ts';
import { startOperator, writeKek, type Operator } from './operator.ts';
import { eventually, Tenant } from './tenant.ts';

describe('Canaries of key-encryption keys', () => {
  let tenant: Tenant;
  let operator: Operator;
  let kekDir: string;
  /** An account without any right. */
  let nobody: KubeClient;

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('canary');
    kekDir = await mkdtemp(join(tmpdir(), 'kek-'));
    await writeKek(kekDir, 'k1');
    await writeFile(join(kekDir, 'primary'), 'k1\n');
    await controlPlane().kubectlRun(['create', 'serviceaccount', 'nobody', '--namespace', tenant.namespace]);
    const kubeconfig = await controlPlane().serviceAccountKubeconfig(tenant.namespace, 'nobody');
    nobody = KubeClient.load({ kubeconfig, clock: systemClock });
  });
  afterEach(async () => {
    await operator.stop();
    await nobody.close();
    await tenant.leave();
    await rm(kekDir, { recursive: true });
  });

  /** `reach` says which account reads and writes the canaries. */
  async function start(reach: 'operator' | 'nobody'): Promise<{ readonly grant: () => void }> {
    let granted = reach === 'operator';
    const { namespace } = tenant;
    operator = await startOperator({
      namespaces: [namespace],
      kekDir,
      keks: (clock, client) => {
        const account = (): KubeClient => (granted ? client : nobody);
        return new CanariedKekProvider({
          keks: new FileKekProvider({ directory: kekDir, clock }),
          client: {
            get: (...asked) => account().get(...asked),
            create: (...asked) => account().create(...asked),
            replace: (...asked) => account().replace(...asked),
          },
          namespace,
          keys: { list: () => [], hasSynced: () => true },
          clock,
        });
      },
    });
    return { grant: () => void (granted = true) };
  }
  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');

  it('that the operator may not read are named by a new registration, which gets its key once they are granted', async () => {
    const { grant } = await start('nobody');
    await tenant.apply('canvas');
    const message = await tenant.untilSays('canvas', 'Stalled', 'True KEKUnverified');
    expect(message).to.include(`Secret ${tenant.namespace}/${canarySecretName}`).and.include('403 Forbidden');
    expect(message).to.include('get, create and update');
    expect(await tenant.says('canvas', 'Ready')).to.equal('False NoSigningKey');
    expect(await tenant.secret(ledgerSecretName('canvas'))).to.equal(undefined);
    const logged = operator.lines.filter(({ message: said }) => said === 'key-encryption key is not usable');
    expect(logged.map(({ fields }) => fields.reason)).to.include('KEKUnverified');
    grant();
    await operator.travel(minute);
    await inStep();
  });

  it('that the operator may not read any more hold up no revocation, no delivery and no status', async () => {
    await start('operator');
    await tenant.apply('canvas');
    await inStep();
    const { kid } = await tenant.delivered('canvas');
    await operator.stop();
    await start('nobody');
    await tenant.edit('canvas', { revokedKeyIDs: [kid], delivery: { secretName: 'canvas-renamed' } });
    await eventually(async () => {
      expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).to.not.include(kid);
      expect((await tenant.delivered('canvas', 'canvas-renamed')).kid).to.not.equal(kid);
    });
    const { metadata, status } = await tenant.registration('canvas');
    expect(status?.observedGeneration).to.equal(metadata.generation);
  });

  it('have a registration say KEKChanged after a restart with other bytes, until the former key is back', async () => {
    await start('operator');
    await tenant.apply('canvas');
    await inStep();
    const ledger = await tenant.ledgerSecret('canvas');
    await operator.stop();
    const former = await readFile(join(kekDir, 'k1'));
    await writeKek(kekDir, 'k1');
    await start('operator');
    const message = await tenant.untilSays('canvas', 'KeyMaterialAvailable', 'False KEKChanged');
    expect(message)
      .to.include('Put the former key back')
      .and.not.match(/restore/i);
    await tenant.untilSays('canvas', 'Stalled', 'True KEKChanged');
    expect(await tenant.says('canvas', 'Ready')).to.equal('True KeySigns');
    await writeFile(join(kekDir, 'k1'), former);
    await operator.travel(minute);
    await tenant.untilSays('canvas', 'KeyMaterialAvailable', 'True KeysOpen');
    await inStep();
    expect(await tenant.ledgerSecret('canvas')).to.deep.equal(ledger);
  });
});
