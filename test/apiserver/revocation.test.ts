import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { ledgerEntry, ledgerSecretName, secrets } from '../../src/api/names.ts';
import { hour, minute, second } from '../../src/domain/duration.ts';
import type { Secret } from '../../src/kube/objects.ts';
import { FrozenReplica } from '../fixtures/frozen-replica.ts';
import { forgetCanaries, startOperator, type Operator } from '../fixtures/operator.ts';
import { OneNamespace } from '../fixtures/one-namespace.ts';
import { base64, eventually, Tenant, text } from '../fixtures/tenant.ts';

/** A revoked key leaves the documents and the delivery Secret whatever is broken, and the status does not say so before. */
describe('Revocation', () => {
  let tenant: Tenant;
  let operator: Operator;
  let skew = 0;
  let others: readonly string[] = [];

  beforeEach(async () => {
    skew = 0;
    others = [];
    await forgetCanaries();
    tenant = await Tenant.inNewNamespace('revocation');
  });
  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const start = async (kubeconfig?: string): Promise<void> => {
    operator = await startOperator({
      namespaces: [tenant.namespace],
      clockSkew: () => skew,
      targets: (own) => [own, ...others],
      ...(kubeconfig === undefined ? {} : { kubeconfig }),
    });
  };
  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');
  const ready = async (spec: Parameters<Tenant['apply']>[1] = {}): Promise<string> => {
    await tenant.apply('canvas', { rotationTrigger: 'a', ...spec });
    await inStep();
    await operator.rest();
    return (await tenant.delivered('canvas')).kid;
  };
  const apart = (kid: string): Promise<void> => tenant.untilRevoked(operator.url, 'canvas', kid);
  const phase = async (): Promise<string | undefined> => (await tenant.registration('canvas')).status?.phase;

  describe('Replicas and caches that still serve the key', () => {
    let replica: FrozenReplica;

    const behind = async (maxAge?: number): Promise<string> => {
      await start();
      replica = await FrozenReplica.before(operator.url, maxAge);
      others = [replica.url];
      const kid = await ready({ platform: 'Canvas' });
      expect((await tenant.servedOf(replica.url, 'canvas')).keyIDs).to.deep.equal([kid]);
      return kid;
    };
    afterEach(() => replica.close());

    it('A revocation is not effective until all ready replicas and caches have dropped the key', async () => {
      const kid = await behind();
      const fromThePast = await FrozenReplica.before(operator.url);
      for (const each of [replica, fromThePast]) {
        await tenant.servedOf(each.url, 'canvas');
        each.freeze();
      }
      await tenant.edit('canvas', { revokedKeyIDs: [kid] });
      await operator.travel(minute);
      await apart(kid);
      await eventually(async () => {
        const message = await tenant.untilSays('canvas', 'RevocationEffective', 'False RevokedKeyStillServed');
        expect(message).to.include(`${replica.url}/registrations/${tenant.namespace}/canvas/jwks.json still serves it`);
      });
      expect(await phase()).to.equal('Revoking');
      await operator.travel(2 * hour);
      expect(await tenant.says('canvas', 'RevocationEffective')).to.equal('False RevokedKeyStillServed');

      replica.thaw();
      await operator.travel(minute);
      await tenant.untilSays('canvas', 'RevocationEffective', 'False RevocationPending');
      await inStep();
      await operator.travel(2 * hour);
      await tenant.untilSays('canvas', 'RevocationEffective', 'True RevocationEffective');

      others = [replica.url, fromThePast.url];
      await operator.travel(2 * minute);
      expect(await tenant.untilSays('canvas', 'RevocationEffective', 'False RevokedKeyStillServed')).to.include(
        fromThePast.url,
      );
      await fromThePast.close();
    });

    it('A revocation is not effective while a ready replica gives no answer', async () => {
      const kid = await behind();
      const url = replica.url;
      await replica.close();
      replica = await FrozenReplica.before(operator.url);
      await tenant.edit('canvas', { revokedKeyIDs: [kid] });
      await operator.travel(minute);
      await apart(kid);
      // The first message may name the own sidecar, which drops the key a moment later.
      await eventually(async () => {
        await operator.travel(20 * second);
        expect((await tenant.condition('canvas', 'RevocationEffective'))?.message).to.include(url);
      });
      expect(await tenant.says('canvas', 'RevocationEffective')).to.equal('False RevokedKeyStillServed');
      others = [];
      await operator.travel(minute);
      await tenant.untilSays('canvas', 'RevocationEffective', 'False RevocationPending');
    });

    it('A revocation is not effective for the lifetime that a cache announced', async () => {
      const kid = await behind(6 * 3600);
      await tenant.edit('canvas', { revokedKeyIDs: [kid] });
      await operator.travel(minute);
      await inStep();
      // The lifetime counts from the moment at which no replica was seen to serve the key.
      await tenant.untilSays('canvas', 'RevocationEffective', 'False RevocationPending');
      await operator.travel(5 * hour);
      const told = await tenant.untilSays('canvas', 'RevocationEffective', 'False RevocationPending');
      expect(told).to.include('caches between it and the operator may keep a document with the key for 6h');
      await operator.travel(90 * minute);
      await tenant.untilSays('canvas', 'RevocationEffective', 'True RevocationEffective');
    });
  });

  describe('Unusable ledgers', () => {
    const name = ledgerSecretName('canvas');
    const damages: readonly {
      readonly title: string;
      readonly reason: string;
      readonly damage: (intact: Secret, older: Secret) => Promise<unknown>;
    }[] = [
      { title: 'is missing', reason: 'LedgerMissing', damage: () => tenant.remove(secrets, name) },
      {
        title: 'is corrupt',
        reason: 'LedgerCorrupt',
        damage: () => tenant.replaceSecret(name, (data) => ({ ...data, [ledgerEntry]: base64('{"serial": 3') })),
      },
      {
        title: 'belongs to another registration',
        reason: 'LedgerMismatch',
        damage: (intact) => {
          const other = text(intact, ledgerEntry).replaceAll('"canvas"', '"moodle"');
          return tenant.replaceSecret(name, (data) => ({ ...data, [ledgerEntry]: base64(other) }));
        },
      },
      {
        title: 'was rolled back',
        reason: 'LedgerRolledBack',
        damage: (_, older) => tenant.replaceSecret(name, () => ({ ...older.data })),
      },
      {
        title: 'is of a newer release',
        reason: 'LedgerFormatUnknown',
        damage: (intact) => {
          const newer = JSON.stringify({ ...JSON.parse(text(intact, ledgerEntry)), pinned: true });
          return tenant.replaceSecret(name, (data) => ({ ...data, [ledgerEntry]: base64(newer) }));
        },
      },
      {
        title: 'has another type',
        reason: 'LedgerSecretConflict',
        damage: (intact) => tenant.restore({ ...intact, type: 'Opaque' }),
      },
    ];
    for (const { title, reason, damage } of damages) {
      it(`A revocation removes the key although the ledger ${title}, and is recorded after the repair`, async () => {
        await start();
        await tenant.apply('canvas', { rotationTrigger: 'a' });
        await inStep();
        await operator.rest();
        const older = await tenant.ledgerSecret('canvas');
        await tenant.edit('canvas', { rotationTrigger: 'b' });
        await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
        await inStep();
        await operator.rest();
        const intact = await tenant.ledgerSecret('canvas');
        const { kid } = await tenant.delivered('canvas');
        await damage(intact, older);
        await tenant.edit('canvas', { revokedKeyIDs: [kid] });
        await operator.travel(minute);
        await apart(kid);
        await tenant.untilSays('canvas', 'Stalled', `True ${reason}`);
        expect(await tenant.untilSays('canvas', 'Ready', `False ${reason}`)).to.not.equal('');
        expect(await tenant.untilSays('canvas', 'RevocationEffective', 'False RevocationPending')).to.include(
          `no replica serves revoked key ${kid}, but the revocation cannot be recorded in the ledger`,
        );
        expect(await tenant.states('canvas')).to.equal('canvas-1 Revoked, canvas-2 Next');

        await tenant.restore(intact);
        await operator.travel(minute);
        await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
        await inStep();
        expect(await tenant.says('canvas', 'Stalled')).to.equal('False NotStalled');
      });
    }

    it('A revocation removes the key from the documents although the operator may not read the ledger', async () => {
      const own = await OneNamespace.for(tenant.namespace);
      await start(own.kubeconfig);
      const kid = await ready();
      await own.withholdSecrets();
      await tenant.edit('canvas', { revokedKeyIDs: [kid] });
      await operator.travel(minute);
      await eventually(async () => {
        expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).to.not.include(kid);
      });
      const told = await tenant.untilSays('canvas', 'Stalled', 'True LedgerUnreadable');
      expect(told)
        .to.include(`${tenant.namespace}/canvas-lti-keys`)
        .and.match(/403 Forbidden/);
      await own.grantSecrets();
      await operator.travel(minute);
      await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
      await inStep();
    });
  });

  it('A revocation needs no key-encryption key', async () => {
    await start();
    const kid = await ready();
    const file = join(operator.kekDir, 'k1');
    await rename(file, join(operator.kekDir, '..', 'k1-elsewhere'));
    await operator.travel(minute);
    await tenant.edit('canvas', { revokedKeyIDs: [kid] });
    await operator.travel(minute);
    await apart(kid);
    await tenant.untilSays('canvas', 'Stalled', 'True KEKMissing');
    expect(await tenant.states('canvas')).to.equal('canvas-1 Revoked');
    await rename(join(operator.kekDir, '..', 'k1-elsewhere'), file);
    await operator.travel(minute);
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
    await inStep();
  });

  for (const [title, wrong] of [
    ['ahead', 72 * hour],
    ['behind', -72 * hour],
  ] as const) {
    it(`A revocation uses the time of the API server if the clock of the operator is ${title}`, async () => {
      await start();
      const kid = await ready({ platform: 'Blackboard' });
      skew = wrong;
      await tenant.edit('canvas', { revokedKeyIDs: [kid] });
      await operator.travel(minute);
      await apart(kid);
      await tenant.untilSays('canvas', 'Stalled', 'True ClockSkewed');
      // The clock of this test is right, so the API server's is taken to be wrong by as much.
      const revokedAt = Date.parse((await tenant.key('canvas-1')).status?.revokedAt ?? '');
      expect(Math.abs(operator.clock.now().getTime() - wrong - revokedAt)).to.be.below(5 * minute);
      await tenant.untilSays('canvas', 'RevocationEffective', 'False RevocationPending');
      skew = 0;
      await operator.travel(minute);
      await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
      await inStep();
    });
  }

  it('A revoked key ID that no key has is reported and does not delay others', async () => {
    await start();
    const kid = await ready();
    const mistyped = `${kid.slice(0, -1)}${kid.endsWith('A') ? 'B' : 'A'}`;
    await tenant.edit('canvas', { revokedKeyIDs: [mistyped] });
    const told = await tenant.untilSays('canvas', 'ActionRequired', 'True UnknownRevokedKeyID');
    expect(told).to.include('spec.revokedKeyIDs[0]: the registration has no such key');
    expect(await phase()).to.equal('ActionRequired');
    expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).to.deep.equal([kid]);

    await tenant.edit('canvas', { revokedKeyIDs: [mistyped, kid] });
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Active');
    expect(await tenant.untilSays('canvas', 'ActionRequired', 'True UnknownRevokedKeyID')).to.include('[0]');
    await tenant.edit('canvas', { revokedKeyIDs: [kid] });
    await tenant.untilSays('canvas', 'ActionRequired', 'False NoActionRequired');
    await inStep();
  });
});
