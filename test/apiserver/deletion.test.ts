import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { allKeysPath, ltiKeys, ltiRegistrations, namespacePath } from '../../src/api/names.ts';
import type { LtiKey } from '../../src/api/objects.ts';
import { day, hour, minute, second } from '../../src/domain/duration.ts';
import { ApiError } from '../../src/kube/errors.ts';
import { sleep, systemClock } from '../../src/lib/clock.ts';
import { controlPlane, crdsServed } from '../fixtures/control-plane.ts';
import type { BeforeWrite } from '../fixtures/observed-client.ts';
import { makeKekDirectory, startOperator, until, type Operator } from '../fixtures/operator.ts';
import { eventually, Tenant } from '../fixtures/tenant.ts';

describe('Deletion', () => {
  let tenant: Tenant;
  let operator: Operator;
  let kekDir: string;

  before(async () => (kekDir = await makeKekDirectory()));
  after(() => rm(kekDir, { recursive: true }));

  beforeEach(async () => {
    tenant = await Tenant.inNewNamespace('deletion');
    operator = await startOperator({ namespaces: [tenant.namespace], kekDir });
  });

  afterEach(async () => {
    await operator.stop();
    await tenant.leave();
  });

  const restart = async (beforeWrite?: BeforeWrite): Promise<void> => {
    await operator.stop();
    const { clock } = operator;
    operator = await startOperator({
      namespaces: [tenant.namespace],
      kekDir,
      clock,
      ...(beforeWrite && { beforeWrite }),
    });
  };
  /** A replica that is not the leader and has read everything. */
  const standby = async (): Promise<Operator> => {
    const { clock } = operator;
    return startOperator({ namespaces: [tenant.namespace], kekDir, clock, standby: true });
  };
  const inStep = (): Promise<void> => tenant.untilInStep(operator.url, 'canvas');
  const conditions = (key: LtiKey): readonly string[] =>
    (key.status?.conditions ?? []).map(({ type, status, reason }) => `${type} ${status} ${reason}`);
  const orphaned = (): Promise<void> =>
    eventually(async () => {
      for (const key of await tenant.keys('canvas')) {
        if (key.status?.state !== 'Retired') expect(conditions(key)).to.include('Orphaned True RegistrationDeleted');
      }
    });

  describe('deletionPolicy Retain', () => {
    const spec = { rotationTrigger: 'a', overlap: '30d' };

    async function deletedInMidRotation(): Promise<readonly LtiKey[]> {
      await tenant.apply('canvas', spec);
      await inStep();
      await tenant.edit('canvas', { rotationTrigger: 'b' });
      await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
      await inStep();
      await operator.travel(25 * hour);
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active');
      await tenant.edit('canvas', { rotationTrigger: 'c' });
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active, canvas-3 Next');
      await inStep();
      await operator.rest();
      const keys = await tenant.keys('canvas');
      await tenant.remove(ltiRegistrations, 'canvas');
      await orphaned();
      await operator.rest();
      return keys;
    }

    it('A retained registration keeps keys, ledger, delivery Secret and documents, and its keys report Orphaned', async () => {
      const keys = await deletedInMidRotation();
      const document = await tenant.servedOf(operator.url, 'canvas');
      const ledger = await tenant.ledgerSecret('canvas');
      const delivery = await tenant.secret('canvas-signing-key');
      await restart();
      await operator.travel(200 * day);
      await operator.travel(minute);
      const message = (await tenant.key('canvas-2')).status?.conditions?.find(
        ({ type }) => type === 'Orphaned',
      )?.message;
      expect(message).to.include('registration canvas was deleted with deletionPolicy Retain: the key stays as it is');
      expect((await tenant.keys('canvas')).map(({ spec: facts, metadata }) => [metadata.uid, facts])).to.deep.equal(
        keys.map(({ spec: facts, metadata }) => [metadata.uid, facts]),
      );
      await orphaned();
      expect(await tenant.ledgerSecret('canvas')).to.deep.equal(ledger);
      expect(await tenant.secret('canvas-signing-key')).to.deep.equal(delivery);
      const served = await tenant.servedOf(operator.url, 'canvas');
      expect(served.text).to.equal(document.text);
      expect(served.keyIDs).to.have.length(3);
    });

    it('A retained registration that is applied again continues with the same keys, without a rotation', async () => {
      const keys = await deletedInMidRotation();
      await tenant.apply('canvas', { ...spec, rotationTrigger: 'c' });
      await inStep();
      await eventually(async () => {
        for (const key of await tenant.keys('canvas'))
          expect(conditions(key)).to.deep.equal(['KeyMaterialAvailable True KeysDecryptable']);
      });
      expect((await tenant.keys('canvas')).map(({ spec: facts }) => facts)).to.deep.equal(
        keys.map(({ spec: facts }) => facts),
      );
      expect(await tenant.states('canvas')).to.equal('canvas-1 Retiring, canvas-2 Active, canvas-3 Next');
      await operator.travel(25 * hour);
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Retiring, canvas-3 Active');
      await inStep();
    });

    it('The operator restores a deleted or edited LtiKey of a retained registration as Orphaned', async () => {
      await deletedInMidRotation();
      await tenant.changeStatus<LtiKey>(ltiKeys, 'canvas-2', (key) => ({
        ...key,
        status: { ...key.status, state: 'Retiring' },
      }));
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active, canvas-3 Next');
      await orphaned();
      const { metadata } = await tenant.key('canvas-2');
      await tenant.remove(ltiKeys, 'canvas-2');
      await eventually(async () => expect((await tenant.key('canvas-2')).metadata.uid).to.not.equal(metadata.uid));
      await tenant.untilStates('canvas', 'canvas-1 Retiring, canvas-2 Active, canvas-3 Next');
      await orphaned();
    });
  });

  it('The operator completes a revocation after the registration was deleted under Retain', async () => {
    await tenant.apply('canvas', { keyDistribution: 'Manual' });
    await inStep();
    const { keyID } = (await tenant.key('canvas-1')).spec;
    await tenant.edit('canvas', { revokedKeyIDs: [keyID] });
    // The revoked key signs for 20 seconds more, unless deleting takes longer than that.
    await eventually(() => tenant.key('canvas-2'));
    await operator.rest();
    await tenant.remove(ltiRegistrations, 'canvas');
    await tenant.untilStates('canvas', 'canvas-1 Revoked, canvas-2 Next');
    await eventually(async () => {
      expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).to.not.include(keyID);
    });
    await eventually(async () => expect(await tenant.secret('canvas-signing-key')).to.equal(undefined));
    expect(Object.keys((await tenant.ledgerSecret('canvas')).data ?? {})).to.not.include(`${keyID}.jwe`);
    await operator.rest();
  });

  describe('deletionPolicy Delete', () => {
    const gone = (): Promise<void> =>
      eventually(async () => {
        expect(await tenant.keys('canvas')).to.deep.equal([]);
        expect(await tenant.secret('canvas-lti-keys')).to.equal(undefined);
        expect(await tenant.secret('canvas-signing-key')).to.equal(undefined);
      });

    it('The operator removes LtiKeys, delivery Secret and ledger, and then the documents', async () => {
      await tenant.apply('canvas', { deletionPolicy: 'Delete' });
      await tenant.apply('moodle');
      await inStep();
      await tenant.untilInStep(operator.url, 'moodle');
      const { kid } = await tenant.delivered('canvas');
      await tenant.remove(ltiRegistrations, 'canvas');
      await gone();
      await operator.travel(31 * second);
      await eventually(async () => expect((await tenant.servedOf(operator.url, 'canvas')).status).to.equal(404));
      for (const path of [allKeysPath, namespacePath(tenant.namespace)]) {
        await eventually(async () =>
          expect((await tenant.served(operator.url, path)).keyIDs, path).to.not.include(kid),
        );
      }
      await tenant.untilInStep(operator.url, 'moodle');
    });

    it('The operator obeys the deletionPolicy of the newest spec', async () => {
      await tenant.apply('canvas', { deletionPolicy: 'Delete' });
      await inStep();
      await tenant.edit('canvas', { deletionPolicy: 'Retain' });
      await inStep();
      await operator.rest();
      await tenant.remove(ltiRegistrations, 'canvas');
      await orphaned();
      await inStepWithoutRegistration();
    });

    it('A registration that is applied again after a removal gets new keys', async () => {
      await tenant.apply('canvas', { deletionPolicy: 'Delete' });
      await inStep();
      const { kid } = await tenant.delivered('canvas');
      await tenant.remove(ltiRegistrations, 'canvas');
      await gone();
      await tenant.apply('canvas', { deletionPolicy: 'Delete' });
      await operator.travel(minute);
      await tenant.untilStates('canvas', 'canvas-1 Active');
      await operator.travel(31 * second);
      await inStep();
      expect((await tenant.delivered('canvas')).kid).to.not.equal(kid);
    });

    /** Ends the process before one of the writes of a removal: a mark per key, delivery Secret, ledger, an LtiKey each. */
    async function removedUntilWrite(crashAt: number): Promise<void> {
      await tenant.apply('canvas', { deletionPolicy: 'Delete', rotationTrigger: 'a' });
      await inStep();
      await tenant.edit('canvas', { rotationTrigger: 'b' });
      await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
      await inStep();
      let writes: number | undefined;
      await restart((_verb, type) => {
        if (type.plural === 'events' || writes === undefined) return;
        writes += 1;
        if (writes >= crashAt) throw new Error('this process is gone');
      });
      await operator.rest();
      writes = 0;
      await tenant.remove(ltiRegistrations, 'canvas');
      await until(() => (writes ?? 0) >= crashAt, 'the crash');
    }

    for (const crashAt of [1, 2, 3, 4, 5, 6]) {
      it(`The next process completes a removal that crashed before write ${crashAt}`, async () => {
        await removedUntilWrite(crashAt);
        await restart();
        await gone();
      });
    }

    it('The operator completes a removal although the API server answered 429 to the last writes', async () => {
      let busy = 0;
      await restart((verb, type) => {
        if (verb !== 'delete' || type !== ltiKeys || busy > 2) return;
        busy += 1;
        throw new ApiError('delete ltikeys: 429', { status: 429, reason: 'TooManyRequests' });
      });
      await tenant.apply('canvas', { deletionPolicy: 'Delete' });
      await inStep();
      await tenant.remove(ltiRegistrations, 'canvas');
      await until(() => busy > 2, 'some refusals');
      await gone();
    });

    it('A new leader removes nothing if the policy became Retain just before the deletion', async () => {
      await tenant.apply('canvas', { deletionPolicy: 'Delete' });
      await inStep();
      await operator.rest();
      const successor = await standby();
      await operator.stop();
      operator = successor;
      await tenant.edit('canvas', { deletionPolicy: 'Retain' });
      await tenant.remove(ltiRegistrations, 'canvas');
      await successor.untilDeletionSeen(tenant.namespace, 'canvas');
      successor.lead();
      await orphaned();
      await inStepWithoutRegistration();
      // It is on record, for those who did not see it go.
      await restart();
      await operator.travel(31 * minute);
      await inStepWithoutRegistration();
    });

    it('Another replica completes a removal after the ledger is gone', async () => {
      await removedUntilWrite(5);
      expect(await tenant.secret('canvas-lti-keys')).to.equal(undefined);
      const successor = await standby();
      await operator.stop();
      operator = successor;
      successor.lead();
      await gone();
    });

    it('A registration that is applied again during its removal gets new keys from another replica', async () => {
      await removedUntilWrite(5);
      const { keyID } = (await tenant.key('canvas-2')).spec;
      await tenant.apply('canvas', { deletionPolicy: 'Delete' });
      const successor = await standby();
      await operator.stop();
      operator = successor;
      successor.lead();
      await tenant.untilStates('canvas', 'canvas-1 Active');
      await operator.travel(31 * second);
      await inStep();
      expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).to.not.include(keyID);
    });
  });

  async function inStepWithoutRegistration(): Promise<void> {
    const { kid } = await tenant.delivered('canvas');
    await operator.travel(2 * minute);
    expect((await tenant.servedOf(operator.url, 'canvas')).keyIDs).to.include(kid);
    expect(await tenant.secret('canvas-lti-keys')).to.not.equal(undefined);
  }

  describe('Namespaces', () => {
    it('Deleting a namespace completes without an error storm and without new keys', async () => {
      await tenant.apply('canvas', { rotationTrigger: 'a' });
      await tenant.apply('moodle', { deletionPolicy: 'Delete' });
      await inStep();
      await tenant.edit('canvas', { rotationTrigger: 'b' });
      await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
      await inStep();
      const before = operator.lines.length;
      const { code, stderr } = await controlPlane().kubectlRun([
        'delete',
        'namespace',
        tenant.namespace,
        '--timeout=120s',
      ]);
      expect(code, stderr).to.equal(0);
      await operator.travel(minute);
      await operator.travel(minute);
      const quietFrom = operator.lines.length;
      await operator.travel(hour);
      const said = operator.lines.slice(before);
      const complaints = said.filter(({ level }) => level === 'warn' || level === 'error');
      expect(complaints.length, JSON.stringify(complaints.slice(-3))).to.be.below(40);
      expect(operator.lines.slice(quietFrom).map(({ message }) => message)).to.deep.equal([]);
      expect(said.filter(({ message }) => message === 'key generated')).to.deep.equal([]);
    });
  });

  describe('CRDs', () => {
    const crds = join(import.meta.dirname, '../../crds');
    const kubectl = async (...args: readonly string[]): Promise<void> => {
      const { code, stderr } = await controlPlane().kubectlRun(args);
      expect(code, stderr).to.equal(0);
    };
    const install = async (): Promise<void> => {
      await kubectl('apply', '--filename', crds);
      await kubectl('wait', '--for=condition=Established', '--timeout=120s', '--filename', crds);
      await crdsServed();
    };
    // Other test files share the control plane; they run after this one, and need the CRDs.
    afterEach(install);

    const doubted = (says: string): Promise<void> =>
      eventually(async () => {
        const [key] = await tenant.keys('canvas');
        const condition = key?.status?.conditions?.find(({ type }) => type === 'Orphaned');
        expect(condition).to.include({ status: 'True', reason: 'DeletionUnconfirmed' });
        expect(condition?.message).to.include(says);
      });
    const secretsOf = async (): Promise<readonly unknown[]> => {
      const names = ['canvas', 'moodle'].flatMap((name) => [`${name}-lti-keys`, `${name}-signing-key`]);
      const found = await Promise.all(names.map((name) => tenant.secret(name)));
      return found.map((secret) => secret?.data);
    };
    const factsOf = async (): Promise<readonly unknown[]> =>
      [...(await tenant.keys('canvas')), ...(await tenant.keys('moodle'))].map(({ spec }) => spec);

    for (const { deleted, path } of [
      { deleted: 'the CRD of registrations', path: join(crds, 'ltiregistrations.yaml') },
      { deleted: 'both CRDs', path: crds },
    ]) {
      it(`The deletion of ${deleted} destroys no key under deletionPolicy Delete, and a deletion after it does`, async () => {
        const apply = async (): Promise<void> => {
          await tenant.apply('canvas', { deletionPolicy: 'Delete' });
          await tenant.apply('moodle');
          await inStep();
          await tenant.untilInStep(operator.url, 'moodle');
          await operator.rest();
        };
        await apply();
        const before = { secrets: await secretsOf(), keys: await factsOf() };
        await kubectl('delete', '--filename', path, '--timeout=120s');
        await operator.rest();
        await install();
        await eventually(async () => {
          await operator.travel(20 * second);
          expect(await factsOf()).to.deep.equal(before.keys);
        });
        await operator.travel(31 * minute);
        await doubted('and the registration is not known to have existed since');
        // A process that saw no deletion comes to the same conclusion.
        await restart();
        await operator.travel(31 * minute);
        await doubted('and the registration is not known to have existed since');
        expect(await secretsOf()).to.deep.equal(before.secrets);

        await apply();
        expect(await factsOf()).to.deep.equal(before.keys);
        expect((await tenant.delivered('canvas')).kid).to.equal((await tenant.key('canvas-1')).spec.keyID);
        await tenant.remove(ltiRegistrations, 'canvas');
        await eventually(async () => {
          const [ledger, delivery, ...kept] = await secretsOf();
          expect([ledger, delivery]).to.deep.equal([undefined, undefined]);
          expect(kept).to.deep.equal(before.secrets.slice(2));
          expect(await tenant.keys('canvas')).to.deep.equal([]);
        });
      });
    }

    it('Deleting and reinstalling the CRDs restores the same keys, and the documents never change', async () => {
      await tenant.apply('canvas', { rotationTrigger: 'a' });
      await inStep();
      await tenant.edit('canvas', { rotationTrigger: 'b' });
      await tenant.untilStates('canvas', 'canvas-1 Active, canvas-2 Next');
      await inStep();
      await operator.rest();
      const keys = await tenant.keys('canvas');
      const document = (await tenant.servedOf(operator.url, 'canvas')).text;
      const seen = new Set<string>();
      const done = new AbortController();
      const watching = (async () => {
        while (!done.signal.aborted) {
          seen.add((await tenant.servedOf(operator.url, 'canvas')).text);
          await sleep(systemClock, 20);
        }
      })();

      await kubectl('delete', '--filename', crds, '--timeout=120s');
      await operator.travel(40 * second);
      await operator.travel(40 * second);
      await install();
      await tenant.apply('canvas', { rotationTrigger: 'b' });
      await eventually(async () => {
        await operator.travel(20 * second);
        expect(await tenant.states('canvas')).to.equal('canvas-1 Active, canvas-2 Next');
      });
      await inStep();
      done.abort();
      await watching;
      expect([...seen]).to.deep.equal([document]);
      expect((await tenant.keys('canvas')).map(({ spec }) => spec)).to.deep.equal(keys.map(({ spec }) => spec));
    });
  });
});
