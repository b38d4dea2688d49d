import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import { ledgerEntry, ledgerSecretName, ltiKeys, ltiRegistrations, secrets } from '../../src/api/names.ts';
import type { LtiRegistration } from '../../src/api/objects.ts';
import { hour, minute, second } from '../../src/domain/duration.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { controlPlane } from '../fixtures/control-plane.ts';
import type { BeforeWrite } from '../fixtures/observed-client.ts';
import { makeKekDirectory, startOperator, type Operator } from '../fixtures/operator.ts';
import { base64, eventually, Tenant } from '../fixtures/tenant.ts';

/** Edits right before a registration, a Secret or the operator went away. */
describe('Last edits before a deletion', () => {
  let tenant: Tenant;
  let operator: Operator;
  let kekDir: string;
  let beforeWrite: BeforeWrite | undefined;

  before(async () => {
    kekDir = await makeKekDirectory();
    tenant = await Tenant.inNewNamespace('words');
    await start();
  });
  after(async () => {
    await operator.stop();
    await rm(kekDir, { recursive: true });
    await tenant.leave();
  });
  afterEach(() => (beforeWrite = undefined));

  const start = async (more: { readonly standby?: boolean } = {}): Promise<void> => {
    operator = await startOperator({
      ...more,
      namespaces: [tenant.namespace],
      kekDir,
      beforeWrite: (...write) => beforeWrite?.(...write),
      ...(operator ? { clock: operator.clock } : {}),
    });
  };
  const ready = async (name: string, spec: Partial<LtiRegistration['spec']> = {}): Promise<string> => {
    await tenant.apply(name, spec);
    await tenant.untilInStep(operator.url, name);
    await operator.rest();
    return (await tenant.delivered(name)).kid;
  };
  const served = async (name: string): Promise<readonly string[]> => (await tenant.servedOf(operator.url, name)).keyIDs;
  const removed = (name: string): Promise<void> =>
    eventually(async () => {
      expect(await tenant.keys(name)).to.deep.equal([]);
      expect(await tenant.secret(ledgerSecretName(name))).to.equal(undefined);
      expect(await tenant.secret(`${name}-signing-key`)).to.equal(undefined);
    });
  const orphaned = (name: string): Promise<void> =>
    eventually(async () => {
      const [key] = await tenant.keys(name);
      const told = key?.status?.conditions?.find(({ type }) => type === 'Orphaned');
      expect(told?.reason).to.equal('RegistrationDeleted');
    });
  const withoutKey = (name: string, kid: string): Promise<void> =>
    eventually(async () => {
      expect(await served(name), 'served').to.not.include(kid);
      const data = (await tenant.secret(`${name}-signing-key`))?.data ?? {};
      expect(data, 'delivered').to.not.have.any.keys('kid', 'private.pem', 'private.jwk', 'private.jwe');
    });

  describe('Edits right before the deletion', () => {
    it('A change from Delete to Retain right before the deletion is obeyed', async () => {
      const kid = await ready('kept', { deletionPolicy: 'Delete' });
      await tenant.edit('kept', { deletionPolicy: 'Retain' });
      await tenant.remove(ltiRegistrations, 'kept');
      await orphaned('kept');
      await operator.travel(2 * minute);
      expect(await served('kept')).to.deep.equal([kid]);
      expect((await tenant.delivered('kept')).kid).to.equal(kid);
    });

    it('A change from Retain to Delete right before the deletion is obeyed', async () => {
      await ready('dropped', { deletionPolicy: 'Retain' });
      await tenant.edit('dropped', { deletionPolicy: 'Delete' });
      await tenant.remove(ltiRegistrations, 'dropped');
      await removed('dropped');
    });

    it('The next leader obeys a revocation right before the deletion', async () => {
      const kid = await ready('revoked');
      await operator.stop();
      await start({ standby: true });
      await tenant.edit('revoked', { revokedKeyIDs: [kid] });
      await tenant.remove(ltiRegistrations, 'revoked');
      await operator.untilDeletionSeen(tenant.namespace, 'revoked');
      operator.lead();
      await withoutKey('revoked', kid);
      await tenant.untilStates('revoked', 'revoked-1 Revoked');
      expect(Object.keys((await tenant.ledgerSecret('revoked')).data ?? {})).to.deep.equal([ledgerEntry]);
    });
  });

  describe('Edits while the operator is down', () => {
    it('The operator follows the ledger if it missed an edit and the deletion of a registration', async () => {
      await ready('unheard-retain', { deletionPolicy: 'Delete' });
      const kid = await ready('unheard-revoked');
      await operator.stop();
      await tenant.edit('unheard-retain', { deletionPolicy: 'Retain' });
      await tenant.edit('unheard-revoked', { revokedKeyIDs: [kid] });
      for (const name of ['unheard-retain', 'unheard-revoked']) await tenant.remove(ltiRegistrations, name);
      await start();
      await removed('unheard-retain');
      await orphaned('unheard-revoked');
      // The revocation is done as soon as it is requested again.
      await tenant.apply('unheard-revoked', { revokedKeyIDs: [kid] });
      await operator.travel(minute);
      await tenant.untilStates('unheard-revoked', 'unheard-revoked-1 Revoked, unheard-revoked-2 Active');
      await eventually(async () => expect(await served('unheard-revoked')).to.not.include(kid));
    });

    it('observedGeneration shows whether the operator saw the newest spec', async () => {
      await ready('unseen');
      await operator.stop();
      await tenant.edit('unseen', { rotationTrigger: 'b' });
      const { metadata, status } = await tenant.registration('unseen');
      expect(status?.observedGeneration).to.be.below(metadata.generation!);
      await start();
      await eventually(async () => {
        expect((await tenant.registration('unseen')).status?.observedGeneration).to.equal(metadata.generation);
      });
    });
  });

  describe('Removals with an unreadable ledger', () => {
    const corrupt = (name: string): Promise<Secret> =>
      tenant.replaceSecret(ledgerSecretName(name), (data) => ({ ...data, [ledgerEntry]: base64('{') }));

    it('The operator completes a removal when the ledger is repaired', async () => {
      const kid = await ready('damaged', { deletionPolicy: 'Delete' });
      const intact = await tenant.ledgerSecret('damaged');
      await corrupt('damaged');
      await tenant.remove(ltiRegistrations, 'damaged');
      await operator.travel(2 * hour);
      expect(await served('damaged')).to.deep.equal([kid]);
      expect(await tenant.states('damaged')).to.equal('damaged-1 Active');
      await tenant.restore(intact);
      await operator.travel(70 * second);
      await removed('damaged');
      await operator.travel(31 * second);
      await eventually(async () => expect((await tenant.servedOf(operator.url, 'damaged')).status).to.equal(404));
    });

    it('Orphaned keys report a missing ledger and recover when it is restored', async () => {
      const kid = await ready('orphan');
      await tenant.remove(ltiRegistrations, 'orphan');
      await orphaned('orphan');
      const intact = await tenant.ledgerSecret('orphan');
      await tenant.remove(secrets, ledgerSecretName('orphan'));
      await operator.travel(70 * second);
      const material = async (): Promise<string | undefined> =>
        (await tenant.key('orphan-1')).status?.conditions?.find(({ type }) => type === 'KeyMaterialAvailable')?.reason;
      await eventually(async () => expect(await material()).to.equal('LedgerMissing'));
      expect(await served('orphan')).to.deep.equal([kid]);
      await tenant.restore(intact);
      await operator.travel(70 * second);
      await eventually(async () => expect(await material()).to.equal('KeysDecryptable'));
      await orphaned('orphan');
    });

    it('The operator removes a registration whose first LtiKey was never created', async () => {
      const made: string[] = [];
      beforeWrite = (verb, type, { metadata }) => {
        if (verb !== 'create' || type !== ltiKeys || metadata.name !== 'half-made-1') return;
        made.push(metadata.name);
        throw new Error('this write did not happen');
      };
      await tenant.apply('half-made', { deletionPolicy: 'Delete' });
      await eventually(async () => expect(made).to.have.length.above(0));
      expect(await tenant.secret(ledgerSecretName('half-made'))).to.not.equal(undefined);
      await tenant.remove(ltiRegistrations, 'half-made');
      await operator.travel(minute);
      await removed('half-made');
    });
  });

  describe('Delivery Secrets', () => {
    it('A delivery Secret under the former name stays until the overlap is over', async () => {
      const kid = await ready('renamed', { overlap: '2h' });
      await tenant.edit('renamed', { delivery: { secretName: 'new-name' } });
      await eventually(async () => expect((await tenant.delivered('renamed', 'new-name')).kid).to.equal(kid));
      await operator.travel(100 * minute);
      expect((await tenant.delivered('renamed')).kid, 'for Pods of the former ReplicaSet').to.equal(kid);
      await operator.travel(30 * minute);
      await eventually(async () => expect(await tenant.secret('renamed-signing-key')).to.equal(undefined));
      expect((await tenant.delivered('renamed', 'new-name')).kid).to.equal(kid);
    });

    it('A revoked key leaves the delivery Secret of the former name at once', async () => {
      const kid = await ready('renamed-revoked');
      await tenant.edit('renamed-revoked', { delivery: { secretName: 'renamed-revoked-2' } });
      await eventually(async () =>
        expect((await tenant.delivered('renamed-revoked', 'renamed-revoked-2')).kid).to.equal(kid),
      );
      await tenant.edit('renamed-revoked', { revokedKeyIDs: [kid] });
      await operator.travel(minute);
      await withoutKey('renamed-revoked', kid);
      await tenant.untilInStep(operator.url, 'renamed-revoked');
    });

    it('A revoked key leaves the delivery Secret even if the recipient is unusable', async () => {
      const kid = await ready('sealed-off');
      const unusable = { kty: 'OKP', crv: 'X25519', alg: 'ECDH-ES', x: 'A'.repeat(43) } as const;
      await tenant.edit('sealed-off', {
        delivery: { secretName: 'sealed-off-signing-key', recipient: unusable },
        revokedKeyIDs: [kid],
      });
      await operator.travel(minute);
      await withoutKey('sealed-off', kid);
      await tenant.untilSays('sealed-off', 'Stalled', 'True DeliveryRecipientInvalid');
      await tenant.edit('sealed-off', { delivery: { secretName: 'sealed-off-signing-key' } });
      await tenant.untilInStep(operator.url, 'sealed-off');
    });
  });

  describe('Last-applied annotations', () => {
    const copy = 'kubectl.kubernetes.io/last-applied-configuration';
    const annotations = async (name: string): Promise<object> =>
      (await tenant.secret(name))?.metadata.annotations ?? {};
    const applyAgain = async (name: string): Promise<void> => {
      const secret = (await tenant.secret(name))!;
      await tenant.remove(secrets, name);
      // Without the version, because the operator may have created the Secret again.
      const { resourceVersion: _, uid: __, ...metadata } = secret.metadata;
      const input = JSON.stringify({ ...secret, metadata });
      const applied = await controlPlane().kubectlRun(['apply', '--filename=-', '--output=json'], { input });
      expect(applied.code, 'kubectl apply').to.equal(0);
      // A moment later, the operator may have removed the copy.
      expect((JSON.parse(applied.stdout) as Secret).metadata.annotations, 'the premise').to.include.keys(copy);
    };

    it('The last-applied copy of a key does not outlive its revocation', async () => {
      const names = [ledgerSecretName('r17'), 'r17-signing-key'];
      const kid = await ready('r17');
      for (const name of names) await applyAgain(name);
      await tenant.edit('r17', { revokedKeyIDs: [kid] });
      await operator.travel(minute);
      await tenant.untilInStep(operator.url, 'r17');
      for (const name of names) {
        expect(await annotations(name), name).to.not.have.property(copy);
        expect(JSON.stringify(await tenant.secret(name)), name).to.not.include(`${kid}.jwe`);
      }
    });

    it('The operator removes the last-applied copy from a delivery Secret at the next reconcile', async () => {
      await ready('r18');
      await applyAgain('r18-signing-key');
      await operator.travel(70 * second);
      await eventually(async () => expect(await annotations('r18-signing-key')).to.not.have.property(copy));
      await tenant.untilInStep(operator.url, 'r18');
    });
  });
});
