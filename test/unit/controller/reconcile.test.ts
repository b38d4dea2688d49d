import { expect } from 'chai';
import {
  customResourceDefinitions,
  ledgerSecretName,
  ltiKeys,
  registrationDefinitionName,
  secrets,
} from '../../../src/api/names.ts';
import type { LtiKey } from '../../../src/api/objects.ts';
import { KekError } from '../../../src/crypto/errors.ts';
import { day, hour, minute, second } from '../../../src/domain/duration.ts';
import { parseLedger } from '../../../src/domain/ledger-format.ts';
import type { Ledger } from '../../../src/domain/ledger.ts';
import { isShownPublished } from '../../../src/domain/ltikeys.ts';
import { ApiError, TransportError } from '../../../src/kube/errors.ts';
import type { Secret } from '../../../src/kube/objects.ts';
import { anLtiRegistration } from '../../builders/registration.ts';
import { anObservation } from '../../builders/situation.ts';
import { MemoryOperator, registrationKey } from '../../fakes/memory-operator.ts';

const delivery = { secretName: 'canvas-tool' };
const quota = new ApiError('no', { status: 403, reason: 'Forbidden', serverMessage: 'exceeded quota: q' });
const unavailable = new ApiError('no', { status: 503, reason: 'ServiceUnavailable' });

function secretOf({ objects }: MemoryOperator, name: string): Secret | undefined {
  return objects.find<Secret>(secrets, 'gradebook', name);
}

function ledgerOf(operator: MemoryOperator): Ledger | undefined {
  const text = secretOf(operator, ledgerSecretName('canvas'))?.data?.['ledger.json'];
  return text === undefined ? undefined : parseLedger(Buffer.from(text, 'base64').toString(), 'gradebook', 'canvas');
}

describe('reconcile', () => {
  let operator: MemoryOperator;
  beforeEach(() => void (operator = new MemoryOperator()));

  async function ready(spec: Parameters<typeof anLtiRegistration>[0] = {}): Promise<void> {
    operator.apply(anLtiRegistration({ delivery, ...spec }));
    await operator.settle();
    expect(operator.registration()?.status?.phase).to.equal('Ready');
  }

  describe('of a registration that exists', () => {
    it('reconcile requests a key pair for a new registration and writes nothing before the pair is there', async () => {
      operator.apply(anLtiRegistration());
      await operator.reconcile();
      expect(operator.objects.writes).to.deep.equal([]);
      expect(operator.generator.pending).to.equal(1);
    });

    it('reconcile writes the ledger before the LtiKey, and activates and delivers only a key that is served', async () => {
      operator.apply(anLtiRegistration({ delivery }));
      await operator.reconcile();
      await operator.keyPair();
      await operator.reconcile();
      const published = ['create secrets canvas-lti-keys', 'create ltikeys canvas-1', 'replaceStatus ltikeys canvas-1'];
      expect(operator.objects.writes).to.deep.equal(published);
      operator.objects.writes.length = 0;
      await operator.reconcile();
      expect(operator.objects.writes).to.deep.equal([
        'replace secrets canvas-lti-keys',
        'replaceStatus ltikeys canvas-1',
        'create secrets canvas-tool',
        'replaceStatus ltiregistrations canvas',
      ]);
      expect(operator.rotations, 'a first activation is no rotation').to.deep.equal([]);
    });

    it('reconcile reads twice for a new registration, also if its key is served only after 14 seconds', async () => {
      const keyIDs = new Set<string>();
      operator = new MemoryOperator({
        observer: { isAnyUnresponsive: () => false, observe: async () => anObservation([...keyIDs]) },
      });
      operator.apply(anLtiRegistration());
      await operator.reconcile();
      await operator.keyPair();
      await operator.reconcile();
      await operator.clock.advance(14 * second);
      await operator.reconcile();
      for (const { spec } of operator.keys()) keyIDs.add(spec.keyID);
      await operator.reconcile();
      expect(operator.registration()?.status?.phase).to.equal('Ready');
      expect(operator.objects.reads).to.deep.equal(['get secrets canvas-lti-keys', 'list ltikeys']);
    });

    it('reconcile reads the caches before the ledger', async () => {
      await ready();
      operator.sources.ledgers.delete(registrationKey);
      const { registrations, keys } = operator.sources;
      const log = operator.objects.reads;
      const sources = {
        ...operator.sources,
        registrations: { get: (key: string) => (log.push('cached registration'), registrations.get(key)) },
        keys: { ...keys, byIndex: (index: string, value: string) => (log.push(index), keys.byIndex(index, value)) },
      };
      await operator.reconcile({ sources });
      expect(log.slice(0, 3)).to.deep.equal(['cached registration', 'registration', 'get secrets canvas-lti-keys']);
    });

    it('reconcile writes nothing if nothing changed', async () => {
      await ready();
      await operator.reconcile();
      expect(operator.objects.writes).to.deep.equal([]);
    });

    it('reconcile takes a revoked key from the documents and the tool before it writes the ledger, and shows the status last', async () => {
      await ready();
      const { keyID } = operator.keys()[0]!.spec;
      operator.apply(anLtiRegistration({ delivery, revokedKeyIDs: [keyID] }));
      await operator.reconcile();
      await operator.clock.advance(21 * second);
      operator.objects.writes.length = 0;
      await operator.reconcile();
      expect(operator.objects.writes).to.deep.equal([
        'replaceStatus ltikeys canvas-1',
        'replace secrets canvas-tool',
        'replace secrets canvas-lti-keys',
        'replace secrets canvas-tool',
        'replaceStatus ltiregistrations canvas',
      ]);
    });

    it('reconcile attempts a refused write once per pass, does the rest and reports the refusal in the status', async () => {
      await ready();
      operator.apply(anLtiRegistration({ delivery: { secretName: 'other-tool' } }));
      operator.objects.before = (call) => {
        if (call === 'create secrets other-tool') throw quota;
      };
      const { requeueAfter } = await operator.reconcile();
      expect(operator.objects.writes.filter((write) => write.startsWith('create'))).to.have.length(1);
      expect(requeueAfter).to.equal(20 * second);
      const stalled = operator.registration()?.status?.conditions?.find(({ type }) => type === 'Stalled');
      expect(stalled).to.include({ status: 'True', reason: 'WriteRefused' });
      expect(stalled?.message).to.include('Secret gradebook/other-tool').and.include('exceeded quota: q');
    });

    it('reconcile looks again at the end of the grace period of a revoked key although the status is refused', async () => {
      await ready();
      operator.objects.before = (asked) => {
        if (asked === 'replaceStatus ltiregistrations canvas') throw quota;
      };
      operator.apply(anLtiRegistration({ delivery, revokedKeyIDs: [operator.keys()[0]!.spec.keyID] }));
      operator.keks.problem = new KekError('KEKMissing', 'no KEK');
      expect((await operator.reconcile()).requeueAfter).to.equal(20 * second);
      await operator.clock.advance(5 * second);
      expect((await operator.reconcile()).requeueAfter).to.equal(15 * second);
      expect(operator.refusedResources).to.deep.equal(Array(2).fill('ltiregistrations/status'));
    });

    for (const [what, happens] of [
      ['was edited', (key: LtiKey) => operator.objects.put(ltiKeys, key)],
      ['was deleted', ({ metadata }: LtiKey) => operator.objects.remove(ltiKeys, 'gradebook', metadata.name)],
    ] as const) {
      it(`reconcile revokes a key although its LtiKey ${what} and the cache does not follow`, async () => {
        await ready();
        const cached = operator.keys();
        const [{ spec }] = cached as [LtiKey];
        Object.assign(operator.sources.keys, { byIndex: () => cached });
        operator.sources.ownWrites.keys.forget('gradebook/canvas-1');
        happens(cached[0]!);
        operator.apply(anLtiRegistration({ delivery, revokedKeyIDs: [spec.keyID] }));
        operator.keks.problem = new KekError('KEKMissing', 'no KEK');
        for (let passed = 0; passed < 24; passed += 4) {
          await operator.reconcile().catch(() => undefined);
          await operator.clock.advance(4 * second);
        }
        expect(operator.keys().filter(isShownPublished)).to.deep.equal([]);
        expect(secretOf(operator, 'canvas-tool')?.data ?? {}).to.not.have.any.keys('private.pem', 'private.jwk');
        expect(operator.registration()?.status?.phase).to.equal('Stalled');
      });
    }

    it('reconcile reads the ledger from the API server again after a pass that failed', async () => {
      operator.apply(anLtiRegistration({ delivery }));
      await operator.reconcile();
      await operator.keyPair();
      operator.objects.before = (call) => {
        if (call === 'create ltikeys canvas-1') throw unavailable;
      };
      expect(await operator.reconcile().catch((error: unknown) => error)).to.equal(unavailable);
      operator.objects.before = () => undefined;
      operator.objects.reads.length = 0;
      await operator.reconcile();
      expect(operator.objects.reads).to.include('get secrets canvas-lti-keys');
    });

    it('reconcile continues a rotation after any write at which it was interrupted, and makes no second key', async () => {
      for (let interruptedAt = 0; interruptedAt < 7; interruptedAt++) {
        operator = new MemoryOperator();
        operator.apply(anLtiRegistration({ delivery }));
        await operator.reconcile();
        await operator.keyPair();
        let calls = 0;
        operator.objects.before = (call) => {
          if (!/^(get|list)/.test(call) && calls++ === interruptedAt) throw unavailable;
        };
        await operator.reconcile().catch(() => undefined);
        await operator.reconcile().catch(() => undefined);
        await operator.settle();
        expect(operator.registration()?.status?.phase, `interrupted at write ${interruptedAt}`).to.equal('Ready');
        expect(ledgerOf(operator)?.highestRevision).to.equal(1);
      }
    });

    it('reconcile does not use a key pair twice after the answer to any write was lost', async () => {
      const unanswered = new TransportError('Timeout', 'no answer');
      const wasStruck: boolean[] = [];
      for (let lostAt = 0; lostAt < 12; lostAt++) {
        operator = new MemoryOperator();
        let writes = 0;
        operator.objects.after = () => {
          if (writes++ === lostAt) throw unanswered;
        };
        operator.apply(anLtiRegistration({ delivery }));
        for (let pass = 0; pass < 4; pass++) {
          await operator.reconcile().catch(() => undefined);
          await operator.keyPair();
        }
        operator.apply(anLtiRegistration({ delivery, rotationTrigger: 'again' }));
        for (let pass = 0; pass < 4; pass++) {
          await operator.reconcile().catch(() => undefined);
          await operator.keyPair();
        }
        wasStruck.push(writes > lostAt);
        const ledger = ledgerOf(operator)!;
        const ids = ledger.keys.map(({ keyID }) => keyID);
        expect(new Set(ids).size, `lost at write ${lostAt}: ${ids.join()}`).to.equal(2);
        expect(operator.generator.take(registrationKey), 'no pair is kept that the ledger has').to.equal(undefined);
        expect(operator.registration()?.status?.conditions?.[0]).to.include({ type: 'Ready', status: 'True' });
      }
      expect(wasStruck.filter(Boolean).length).to.be.at.least(8);
    });

    it('reconcile keeps a former delivery Secret on record that cannot be read, and starts no overlap meanwhile', async () => {
      await ready();
      operator.objects.before = (call) => {
        if (call === 'get secrets canvas-tool') throw new TransportError('Timeout', 'no answer');
      };
      for (const secretName of ['second', 'third']) {
        operator.apply(anLtiRegistration({ delivery: { secretName } }));
        await operator.settle();
      }
      expect(ledgerOf(operator)?.deliveries.map(({ secretName }) => secretName)).to.include('canvas-tool');
    });

    for (const [what, edit] of [
      ['was renamed in the same edit', { delivery: { secretName: 'other-tool' } }],
      ['is no longer wanted since the same edit', {}],
      ['is in a bundle since the same edit', { delivery: { bundle: { name: 'tools', shards: 1 } } }],
    ] as const) {
      it(`reconcile takes a revoked key from a delivery Secret that ${what}, although the ledger cannot be read`, async () => {
        await ready();
        const restarted = new MemoryOperator({}, operator);
        operator.objects.before = (call) => {
          if (call === 'get secrets canvas-lti-keys') throw quota;
        };
        const [key] = operator.keys();
        restarted.apply(anLtiRegistration({ ...edit, revokedKeyIDs: [key!.spec.keyID] }));
        await restarted.reconcile();
        expect(secretOf(operator, 'canvas-tool')?.data ?? {}).to.not.have.any.keys('private.pem', 'private.jwk');
        expect(restarted.registration()?.status?.deliverySecretNames).to.deep.equal(['canvas-tool']);
      });
    }

    it('reconcile deletes a former delivery Secret of which only the status knows', async () => {
      await ready();
      operator.objects.before = (call) => {
        if (call === 'replace secrets canvas-lti-keys') throw quota;
      };
      for (const secretName of ['second', 'third']) {
        operator.apply(anLtiRegistration({ delivery: { secretName } }));
        await operator.reconcile();
      }
      operator.objects.before = () => undefined;
      await operator.settle();
      await operator.clock.advance(49 * hour);
      await operator.settle();
      expect(operator.objects.all(secrets).map(({ metadata }) => metadata.name)).to.have.members([
        ledgerSecretName('canvas'),
        'third',
      ]);
      expect(operator.registration()?.status?.deliverySecretNames).to.deep.equal(['third']);
    });

    it('reconcile makes no key for a registration whose delivery Secret cannot be read, because keys may exist', async () => {
      operator.apply(anLtiRegistration({ delivery }));
      operator.objects.before = (call) => {
        if (call === 'get secrets canvas-tool') throw new TransportError('Timeout', 'no answer');
      };
      await operator.settle();
      expect(ledgerOf(operator)).to.equal(undefined);
      expect(operator.registration()?.status?.conditions?.find(({ type }) => type === 'Stalled')).to.include({
        status: 'True',
        reason: 'LedgerUnreadable',
      });
      operator.objects.before = () => undefined;
      await operator.settle();
      expect(operator.registration()?.status?.phase).to.equal('Ready');
    });

    it('reconcile retries a request that fails once, although another write has been refused for an hour', async () => {
      await ready();
      operator.apply(anLtiRegistration({ delivery: { secretName: 'other-tool' } }));
      const broken = new TransportError('Connection', 'reset');
      let breaks = true;
      operator.objects.before = (call) => {
        if (call === 'get secrets canvas-lti-keys' && breaks) throw broken;
        if (call === 'create secrets other-tool') throw quota;
      };
      operator.sources.ledgers.delete(registrationKey);
      expect(await operator.reconcile().catch((error: unknown) => error)).to.equal(broken);
      breaks = false;
      await operator.reconcile();
      await operator.clock.advance(hour);
      breaks = true;
      operator.sources.ledgers.delete(registrationKey);
      expect(await operator.reconcile().catch((error: unknown) => error)).to.equal(broken);
      expect(operator.registration()?.status?.conditions?.find(({ type }) => type === 'Stalled')).to.include({
        reason: 'WriteRefused',
      });
    });

    it('reconcile throws if a decision is never carried out', async () => {
      operator.apply(anLtiRegistration());
      const applier = { apply: async <T>(gathered: T): Promise<T> => gathered, writeStatus: async () => undefined };
      const failure = await operator.reconcile({ applier }).catch((error: unknown) => error);
      expect(failure).to.have.property('message', 'the decision does not settle');
    });
  });

  describe('requeueing', () => {
    for (const [title, registrations, interval] of [
      ['one registration every minute', 1, minute],
      ['each of 1,000 registrations every 200 s', 1000, 200 * second],
      ['each of 100,000 registrations after the resync period', 100_000, 30 * minute],
    ] as const) {
      it(`reconcile looks again at ${title} if nothing is due`, async () => {
        await ready();
        const { requeueAfter = 0 } = await operator.reconcile({ registrations: () => registrations });
        expect(requeueAfter).to.be.within(1, interval);
        await operator.clock.advance(requeueAfter);
        const again = await operator.reconcile({ registrations: () => registrations });
        expect(again.requeueAfter).to.equal(interval);
      });
    }

    it('reconcile looks again a second after it published a key that not every replica serves yet', async () => {
      operator.apply(anLtiRegistration());
      await operator.reconcile();
      await operator.keyPair();
      expect((await operator.reconcile()).requeueAfter).to.equal(second);
    });

    it('reconcile looks again in 30 s while nothing can be sealed, and reports why', async () => {
      operator.keks.problem = new KekError('KEKMissing', 'the KEK file is missing');
      operator.apply(anLtiRegistration());
      const { requeueAfter } = await operator.reconcile({ registrations: () => 100_000 });
      expect(requeueAfter).to.equal(30 * second);
      expect(operator.registration()?.status?.phase).to.equal('Stalled');
      expect(operator.generator.pending).to.equal(0);
    });

    it('reconcile looks again in 20 s if the cache is behind the API server, and writes nothing', async () => {
      await ready();
      const registrations = { get: () => undefined };
      const result = await operator.reconcile({ sources: { ...operator.sources, registrations } });
      expect(result.requeueAfter).to.equal(20 * second);
      expect(operator.objects.writes).to.deep.equal([]);
    });

    it('reconcile does not look again at a name without any object', async () => {
      expect(await operator.reconcile()).to.deep.equal({});
    });
  });

  describe('of a registration that was deleted under deletionPolicy Delete', () => {
    const removal = [
      'replaceStatus ltikeys canvas-1',
      'delete secrets canvas-tool',
      'delete secrets canvas-lti-keys',
      'delete ltikeys canvas-1',
    ];

    it('reconcile unpublishes the key, then removes the delivery Secret, the ledger and the LtiKey', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.deleteRegistration();
      expect(await operator.reconcile()).to.deep.equal({});
      expect(operator.objects.writes).to.deep.equal(removal);
      expect(operator.objects.all(secrets)).to.deep.equal([]);
      expect(operator.sources.lastSeen.size).to.equal(1);
      await operator.reconcile();
      expect(operator.sources.lastSeen.size, 'forgotten with the last of it').to.equal(0);
    });

    it('reconcile follows the policy on record if this process did not see the deletion', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.deleteRegistration({ seen: false });
      await operator.reconcile();
      expect(operator.objects.writes).to.deep.equal(removal);
    });

    it('reconcile follows the last policy that this process saw, although the ledger records another', async () => {
      await ready();
      operator.apply(anLtiRegistration({ delivery, deletionPolicy: 'Delete' }));
      operator.deleteRegistration();
      await operator.reconcile();
      expect(operator.objects.writes).to.deep.equal(removal);
    });

    for (const [interruptedAt, interrupted] of removal.entries()) {
      for (const [what, error] of [
        ['is refused', quota],
        ['gets no answer', new TransportError('Connection', 'no answer')],
      ] as const) {
        it(`reconcile finishes the removal after "${interrupted}" ${what}`, async () => {
          await ready({ deletionPolicy: 'Delete' });
          operator.deleteRegistration();
          operator.objects.before = (call) => {
            if (call === interrupted) throw error;
          };
          await operator.reconcile().catch((thrown: unknown) => expect(thrown).to.equal(error));
          const kept = operator.objects.all(secrets).map(({ metadata }) => metadata.name);
          if (interruptedAt > 0)
            expect(kept).to.have.members(['canvas-tool', 'canvas-lti-keys'].slice(interruptedAt - 1));
          operator.objects.before = () => undefined;
          await operator.settle();
          expect([...operator.objects.all(secrets), ...operator.keys()]).to.deep.equal([]);
        });
      }
    }

    it('reconcile keeps the ledger, which names the delivery Secret, until that Secret can be read', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.deleteRegistration();
      operator.objects.before = (call) => {
        if (call === 'get secrets canvas-tool') throw new TransportError('Timeout', 'no answer');
      };
      await operator.reconcile();
      expect(operator.objects.all(secrets)).to.have.length(2);
      const { conditions = [] } = operator.keys()[0]!.status!;
      expect(conditions.find(({ type }) => type === 'Orphaned')?.reason).to.equal('DeliverySecretUnreadable');
      operator.objects.before = () => undefined;
      await operator.settle();
      expect([...operator.objects.all(secrets), ...operator.keys()]).to.deep.equal([]);
    });

    const doubts: readonly { title: string; happens: () => void; says: string }[] = [
      {
        title: 'the CustomResourceDefinition is being deleted',
        happens: () =>
          operator.installDefinition('2026-01-01T00:00:00Z', { deletionTimestamp: '2026-03-01T00:00:00Z' }),
        says: 'is being deleted',
      },
      {
        title: 'the CustomResourceDefinition was deleted',
        happens: () => operator.objects.remove(customResourceDefinitions, undefined, registrationDefinitionName),
        says: 'does not exist, and its deletion',
      },
      {
        title: 'the CustomResourceDefinition was installed again',
        happens: () => operator.installDefinition('2026-03-01T00:00:10Z'),
        says: 'was created at 2026-03-01T00:00:10Z',
      },
      ...[
        { error: quota, says: '403 Forbidden: exceeded quota: q' },
        { error: new TransportError('Timeout', 'no answer within 10 s'), says: 'no answer within 10 s' },
      ].map(({ error, says }) => ({
        title: `the CustomResourceDefinition cannot be read (${says})`,
        happens: () => {
          operator.objects.before = (call) => {
            if (call === `get customresourcedefinitions ${registrationDefinitionName}`) throw error;
          };
        },
        says,
      })),
    ];
    for (const seen of [true, false]) {
      for (const { title, happens, says } of doubts) {
        it(`reconcile removes nothing and says so while ${title}, ${seen ? '' : 'not '}having seen the deletion`, async () => {
          await ready({ deletionPolicy: 'Delete' });
          const before = operator.objects.all(secrets);
          operator.deleteRegistration({ seen });
          happens();
          await operator.reconcile();
          await operator.reconcile();
          expect(operator.objects.writes).to.deep.equal(['replaceStatus ltikeys canvas-1']);
          expect(operator.objects.all(secrets)).to.deep.equal(before);
          const [key] = operator.keys();
          expect(key?.status?.state).to.equal('Active');
          const orphaned = key?.status?.conditions?.find(({ type }) => type === 'Orphaned');
          expect(orphaned).to.include({ status: 'True', reason: 'DeletionUnconfirmed' });
          expect(orphaned?.message).to.include(says);
        });
      }
    }

    it('reconcile throws if the read of the CustomResourceDefinition breaks off, and removes nothing', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.deleteRegistration();
      const error = new TransportError('Connection', 'the connection broke off');
      operator.objects.before = (call) => {
        if (call.startsWith('get customresourcedefinitions')) throw error;
      };
      expect(await operator.reconcile().catch((thrown: unknown) => thrown)).to.equal(error);
      expect(operator.objects.writes).to.deep.equal([]);
    });

    for (const [call, error] of [
      ['get ltiregistrations canvas', quota],
      ['get ltiregistrations canvas', unavailable],
      ['get customresourcedefinitions ltiregistrations.ltikeys.dev', unavailable],
    ] as const) {
      it(`reconcile completes the revocation that the last spec has although "${call}" is answered with ${error.status} for good`, async () => {
        await ready({ deletionPolicy: 'Delete' });
        const revokedKeyIDs = [operator.keys()[0]!.spec.keyID];
        operator.apply(anLtiRegistration({ delivery, deletionPolicy: 'Delete', revokedKeyIDs }));
        operator.deleteRegistration();
        operator.objects.before = (asked) => {
          if (asked === call) throw error;
        };
        for (let waited = 0; waited <= 4; waited++) {
          await operator.reconcile().catch((thrown: unknown) => expect(thrown).to.equal(error));
          await operator.clock.advance(second);
        }
        expect(operator.keys().map(({ status }) => status?.state)).to.deep.equal(['Revoked']);
        expect(secretOf(operator, 'canvas-tool')?.data ?? {}).to.not.have.any.keys('private.pem', 'private.jwk');
        expect(ledgerOf(operator), 'nothing else is removed').to.not.equal(undefined);
      });
    }

    it('reconcile completes the revocation that the last spec has although that spec has a duration that it cannot read', async () => {
      await ready();
      const revokedKeyIDs = [operator.keys()[0]!.spec.keyID];
      operator.apply(anLtiRegistration({ delivery, revokedKeyIDs, rotateAfter: 'often' }));
      operator.deleteRegistration();
      await operator.reconcile();
      expect(operator.keys().map(({ status }) => status?.state)).to.deep.equal(['Revoked']);
    });

    it('reconcile continues with the same key if the registration returns after its CustomResourceDefinition', async () => {
      await ready({ deletionPolicy: 'Delete' });
      const ledger = ledgerOf(operator);
      operator.deleteRegistration();
      operator.installDefinition('2026-03-01T00:00:10Z');
      await operator.settle();
      await ready({ deletionPolicy: 'Delete' });
      expect(ledgerOf(operator)).to.deep.equal(ledger);
      expect(operator.keys()[0]?.status?.conditions?.some(({ type }) => type === 'Orphaned')).to.equal(false);
    });

    it('reconcile completes the removal when the CustomResourceDefinition can be read again', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.deleteRegistration();
      operator.objects.before = (call) => {
        if (call.startsWith('get customresourcedefinitions')) throw quota;
      };
      await operator.settle();
      expect(operator.objects.all(secrets)).to.have.length(2);
      operator.objects.before = () => undefined;
      await operator.settle();
      expect([...operator.objects.all(secrets), ...operator.keys()]).to.deep.equal([]);
    });

    it('reconcile begins again with a new key after the LtiKeys of the former registration could not be deleted', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.deleteRegistration();
      operator.objects.before = (call) => {
        if (call.startsWith('delete ltikeys')) throw quota;
      };
      await operator.reconcile();
      operator.apply(anLtiRegistration({ delivery }));
      operator.sources.lastSeen.clear();
      await operator.settle();
      expect(operator.registration()?.status?.ledgerSerial).to.equal(0);
      const stalled = operator.registration()?.status?.conditions?.find(({ type }) => type === 'Stalled');
      expect(stalled?.message).to.include('cannot delete LtiKey gradebook/canvas-1');
      operator.objects.before = () => undefined;
      await operator.settle();
      expect(operator.registration()?.status?.phase).to.equal('Ready');
    });

    it('reconcile removes an LtiKey that another leader created and the cache does not show', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.deleteRegistration();
      const stored = { objects: operator.objects, clock: operator.clock };
      const other = new MemoryOperator({ registrations: { get: () => undefined } }, stored);
      Object.assign(other.sources.keys, { byIndex: () => [] });
      await other.reconcile();
      expect([...operator.objects.all(secrets), ...operator.keys()]).to.deep.equal([]);
    });

    it('reconcile keeps only the ledger while an LtiKey cannot be read that the cache does not show', async () => {
      await ready({ deletionPolicy: 'Delete', rotateAfter: '5d' });
      await operator.clock.advance(4 * day);
      await operator.settle();
      expect(operator.keys()).to.have.length(2);
      operator.deleteRegistration();
      const cached = (): readonly LtiKey[] => operator.keys().filter(({ metadata }) => metadata.name === 'canvas-1');
      Object.assign(operator.sources.keys, { byIndex: cached });
      operator.sources.ownWrites.keys.forget('gradebook/canvas-2');
      operator.objects.before = (call) => {
        if (call === 'get ltikeys canvas-2') throw quota;
      };
      await operator.reconcile();
      expect(secretOf(operator, 'canvas-tool')).to.equal(undefined);
      expect(ledgerOf(operator)).to.not.equal(undefined);
      const { state, conditions = [] } = operator.keys()[0]!.status!;
      expect(state).to.equal('Retired');
      expect(conditions.find(({ type }) => type === 'Orphaned')?.message).to.include('LtiKey gradebook/canvas-2');
      operator.objects.before = () => undefined;
      await operator.settle();
      expect([...operator.objects.all(secrets), ...operator.keys()]).to.deep.equal([]);
    });

    it('reconcile fails after it removed everything else if no LtiKey can show that another one cannot be read', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.deleteRegistration();
      Object.assign(operator.sources.keys, { byIndex: () => [] });
      operator.sources.ownWrites.keys.forget('gradebook/canvas-1');
      operator.objects.before = (call) => {
        if (call === 'get ltikeys canvas-1') throw quota;
      };
      const failure = await operator.reconcile().catch((error: unknown) => error);
      expect(failure).to.have.property('message').that.includes('cannot read LtiKey gradebook/canvas-1');
      expect(secretOf(operator, 'canvas-tool')).to.equal(undefined);
      expect(ledgerOf(operator)).to.not.equal(undefined);
    });

    it('reconcile completes the revocation that the last spec has although the deletion is in doubt, and records Delete', async () => {
      await ready({ deletionPolicy: 'Delete' });
      const keyID = ledgerOf(operator)!.activeKeyID!;
      operator.apply(anLtiRegistration({ delivery, deletionPolicy: 'Delete', revokedKeyIDs: [keyID] }));
      operator.deleteRegistration();
      operator.installDefinition('2026-03-01T00:00:10Z');
      await operator.reconcile();
      expect(ledgerOf(operator)).to.deep.include({ deletionPolicy: 'Delete' });
      expect(ledgerOf(operator)!.keys.map(({ state }) => state)).to.deep.equal(['Revoked']);
      expect(operator.keys().map(({ status }) => status?.state)).to.deep.equal(['Revoked']);
    });

    it('reconcile takes a revoked key from the tool although the ledger cannot be read', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.apply(anLtiRegistration({ revokedKeyIDs: [operator.keys()[0]!.spec.keyID] }));
      operator.deleteRegistration();
      operator.sources.ledgers.delete(registrationKey);
      operator.objects.before = (call) => {
        if (call === 'get secrets canvas-lti-keys') throw quota;
      };
      await operator.reconcile();
      expect(operator.keys().map(({ status }) => status?.state)).to.deep.equal(['Revoked']);
      expect(secretOf(operator, 'canvas-tool')?.data ?? {}).to.not.have.any.keys('private.pem', 'private.jwk');
    });

    it('reconcile removes nothing while the ledger cannot be read', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.deleteRegistration();
      operator.sources.ledgers.delete(registrationKey);
      operator.objects.before = (call) => {
        if (call === 'get secrets canvas-lti-keys') throw quota;
      };
      await operator.reconcile();
      expect(operator.objects.writes.filter((write) => write.startsWith('delete'))).to.deep.equal([]);
    });
  });

  describe('of a registration that was deleted under deletionPolicy Retain', () => {
    it('reconcile keeps the ledger, the delivery Secret and the published key, and marks the LtiKey as orphaned', async () => {
      await ready();
      const [before] = operator.keys();
      const delivered = secretOf(operator, 'canvas-tool');
      operator.deleteRegistration();
      await operator.reconcile();
      expect(operator.objects.writes).to.deep.equal(['replaceStatus ltikeys canvas-1']);
      const [after] = operator.keys();
      expect(after?.status?.state).to.equal('Active');
      expect(after?.status?.conditions?.find(({ type }) => type === 'Orphaned')).to.include({
        status: 'True',
        reason: 'RegistrationDeleted',
      });
      expect(after?.spec).to.deep.equal(before?.spec);
      expect(secretOf(operator, 'canvas-tool')).to.deep.equal(delivered);
    });

    it('reconcile follows the last policy that this process saw, and records it', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.apply(anLtiRegistration({ delivery }));
      operator.deleteRegistration();
      await operator.reconcile();
      expect(operator.objects.writes).to.include('replace secrets canvas-lti-keys');
      expect(ledgerOf(operator)?.deletionPolicy).to.equal('Retain');
    });

    it('reconcile signs with the same key again when the registration returns', async () => {
      await ready();
      const ledger = ledgerOf(operator);
      operator.deleteRegistration();
      await operator.settle();
      await ready();
      expect(ledgerOf(operator)?.activeKeyID).to.equal(ledger?.activeKeyID);
      expect(ledgerOf(operator)?.highestRevision).to.equal(1);
      expect(operator.keys()[0]?.status?.conditions?.some(({ type }) => type === 'Orphaned')).to.equal(false);
    });
  });
});
