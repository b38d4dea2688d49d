import { expect } from 'chai';
import { ledgerEntry, ledgerSecretName, ltiKeys, secrets } from '../../../src/api/names.ts';
import type { LtiKey } from '../../../src/api/objects.ts';
import type { Applier } from '../../../src/controller/apply.ts';
import { gather } from '../../../src/controller/gather.ts';
import type { Gathered } from '../../../src/controller/gathered.ts';
import { decide } from '../../../src/domain/decide.ts';
import { hour, second } from '../../../src/domain/duration.ts';
import { type Effect, effectID } from '../../../src/domain/effects.ts';
import { ApiError, heldByFinalizers, TransportError } from '../../../src/kube/errors.ts';
import type { KubeObject, Secret } from '../../../src/kube/objects.ts';
import { anLtiRegistration } from '../../builders/registration.ts';
import { MemoryOperator, registrationKey } from '../../fakes/memory-operator.ts';

const quota = new ApiError('no', { status: 403, reason: 'Forbidden', serverMessage: 'exceeded quota: q' });
const conflict = new ApiError('409 Conflict', { status: 409, reason: 'Conflict' });
const busy = new ApiError('429 TooManyRequests', { status: 429, reason: 'TooManyRequests' });
const unauthorized = new ApiError('401 Unauthorized', { status: 401, reason: 'Unauthorized' });
const gone = new ApiError('no', { status: 404, reason: 'NotFound', missing: 'object' });

const delivery = { secretName: 'canvas-tool' };

describe('Applier', () => {
  let operator: MemoryOperator;
  let gathered: Gathered;
  /** One effect of each kind that writes. */
  let effects: Readonly<Record<Exclude<Effect['kind'], 'generate'>, Effect>>;

  beforeEach(async () => {
    operator = new MemoryOperator();
    operator.apply(anLtiRegistration({ delivery }));
    await operator.settle();
    gathered = (await gather(operator.sources, registrationKey))!;
    const [key] = operator.keys();
    effects = effectsOn(gathered, key!);
  });

  const apply = (...wanted: readonly Effect[]): Promise<Gathered> => operator.applier.apply(gathered, wanted);
  const answer = (write: string, error: Error): void => {
    operator.objects.before = (call) => {
      if (call === write) throw error;
    };
  };
  const thrownBy = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error);
  const ledgerSecret = (): Secret | undefined =>
    operator.objects.find<Secret>(secrets, 'gradebook', ledgerSecretName('canvas'));

  it('Applier carries out effects in the order in which they were decided', async () => {
    await apply(effects.showKey, effects.deliver, effects.writeLedger, effects.removeDelivery, effects.removeKey);
    expect(operator.objects.writes).to.deep.equal([
      'replaceStatus ltikeys canvas-1',
      'replace secrets canvas-tool',
      'replace secrets canvas-lti-keys',
      'delete secrets canvas-tool',
      'delete ltikeys canvas-1',
    ]);
  });

  const results: readonly {
    kind: keyof typeof effects;
    write: string;
    verb: string;
    object: string;
    resource: string;
    shows: (after: Gathered) => unknown;
    is: unknown;
  }[] = [
    {
      kind: 'writeLedger',
      write: 'replace secrets canvas-lti-keys',
      verb: 'update',
      object: 'Secret gradebook/canvas-lti-keys',
      resource: 'secrets',
      shows: ({ situation: { ledger }, record }) =>
        ledger.kind === 'present' && [ledger.ledger.serial, record?.ledger.serial],
      is: [3, 3],
    },
    {
      kind: 'removeLedger',
      write: 'delete secrets canvas-lti-keys',
      verb: 'delete',
      object: 'Secret gradebook/canvas-lti-keys',
      resource: 'secrets',
      shows: ({ situation: { ledger, keyMaterial }, record }) => [ledger, keyMaterial.size, record],
      is: [{ kind: 'absent' }, 0, undefined],
    },
    {
      kind: 'createKey',
      write: 'create ltikeys canvas-2',
      verb: 'create',
      object: 'LtiKey gradebook/canvas-2',
      resource: 'ltikeys',
      shows: ({ situation }) => situation.ltiKeys.map(({ metadata, status }) => [metadata.name, status?.state]),
      is: [
        ['canvas-1', 'Active'],
        ['canvas-2', undefined],
      ],
    },
    {
      kind: 'showKey',
      write: 'replaceStatus ltikeys canvas-1',
      verb: 'update the status of',
      object: 'LtiKey gradebook/canvas-1',
      resource: 'ltikeys/status',
      shows: ({ situation }) => situation.ltiKeys.map(({ status }) => status?.state),
      is: ['Revoked'],
    },
    {
      kind: 'removeKey',
      write: 'delete ltikeys canvas-1',
      verb: 'delete',
      object: 'LtiKey gradebook/canvas-1',
      resource: 'ltikeys',
      shows: ({ situation }) => situation.ltiKeys,
      is: [],
    },
    {
      kind: 'deliver',
      write: 'replace secrets canvas-tool',
      verb: 'write',
      object: 'Secret gradebook/canvas-tool',
      resource: 'secrets',
      shows: ({ situation: { deliveries } }) => {
        const secret = deliveries.get('canvas-tool');
        return secret?.kind === 'ours' && secret.entries;
      },
      is: { 'jwks.json': '{"keys":[]}' },
    },
    {
      kind: 'removeDelivery',
      write: 'delete secrets canvas-tool',
      verb: 'delete',
      object: 'Secret gradebook/canvas-tool',
      resource: 'secrets',
      shows: ({ situation: { deliveries }, secrets: stored }) => [deliveries.get('canvas-tool'), stored.size],
      is: [{ kind: 'absent' }, 0],
    },
  ];

  for (const { kind, write, verb, object, resource, shows, is } of results) {
    it(`Applier carries out ${kind} with one write, and the situation shows it as gather does`, async () => {
      const after = await apply(effects[kind]);
      expect(operator.objects.writes).to.deep.equal([write]);
      expect(shows(after)).to.deep.equal(is);
      const { deliveries } = after.situation;
      const read = (await gather(operator.sources, registrationKey))!.situation;
      expect([...deliveries]).to.deep.equal([...read.deliveries]);
      expect(after.situation.ltiKeys).to.have.deep.members([...read.ltiKeys]);
    });

    it(`Applier makes a refused ${kind} part of the situation, and counts and logs it`, async () => {
      answer(write, quota);
      const { situation } = await apply(effects[kind]);
      const refusal = { kind: 'Refused', verb, object, because: '403 Forbidden: exceeded quota: q' };
      expect([...situation.refused]).to.deep.equal([[effectID(effects[kind]), refusal]]);
      expect({ ...situation, refused: new Map() }).to.deep.equal(gathered.situation);
      expect(operator.refusedResources).to.deep.equal([resource]);
      const { level, message, fields } = operator.recorded.lines.at(-1)!;
      expect([level, message]).to.deep.equal(['warn', 'cannot write an object; the operator retries']);
      expect(fields).to.include({ namespace: 'gradebook', name: 'canvas', reason: 'WriteRefused' });
      expect(fields.error).to.have.property('message', `${verb} ${object}: 403 Forbidden: exceeded quota: q`);
    });

    it(`Applier throws if another client wins the race for ${kind}, and does not carry out what follows`, async () => {
      answer(write, conflict);
      const following = kind === 'showKey' ? effects.deliver : effects.showKey;
      expect(await thrownBy(apply(effects[kind], following))).to.equal(conflict);
      expect(operator.objects.writes).to.deep.equal([write]);
      expect(operator.refusedResources).to.deep.equal([]);
    });
  }

  for (const [error, refusal] of [
    [conflict, { kind: 'Contended', because: '409 Conflict' }],
    [busy, { kind: 'Overloaded', because: '429 TooManyRequests' }],
    [unauthorized, { kind: 'Unauthenticated', because: '401 Unauthorized' }],
  ] as const) {
    it(`Applier takes a write as refused if ${error.message} is the answer for longer than three seconds`, async () => {
      answer('replaceStatus ltikeys canvas-1', error);
      expect(await thrownBy(apply(effects.showKey))).to.equal(error);
      gathered = { ...gathered, failingFor: 3 * second + 1 };
      const { situation } = await apply(effects.showKey, effects.deliver);
      const target = { verb: 'update the status of', object: 'LtiKey gradebook/canvas-1' };
      expect([...situation.refused.values()]).to.deep.equal([{ ...target, ...refusal }]);
      expect(operator.objects.writes).to.include('replace secrets canvas-tool');
    });
  }

  it('Applier takes a Secret that finalizers hold after its deletion for one that exists', async () => {
    answer(
      'delete secrets canvas-tool',
      heldByFinalizers('delete secrets gradebook/canvas-tool', ['example.org/copy']),
    );
    const { situation } = await apply({ kind: 'removeDelivery', secretName: 'canvas-tool' });
    expect(situation.deliveries.get('canvas-tool')?.kind).to.equal('ours');
    const target = { verb: 'delete', object: 'Secret gradebook/canvas-tool' };
    const refusal = { kind: 'Held', because: 'finalizers example.org/copy' };
    expect([...situation.refused.values()]).to.deep.equal([{ ...target, ...refusal }]);
  });

  it('Applier reads the ledger again after finalizers held up its deletion, because that changed its resourceVersion', async () => {
    answer('delete secrets canvas-lti-keys', heldByFinalizers('delete', ['example.org/copy']));
    operator.sources.ledgers.set(registrationKey, gathered.record!);
    await apply({ kind: 'removeLedger' });
    expect(operator.sources.ledgers.get(registrationKey)).to.equal(undefined);
  });

  it('Applier distinguishes a write without an answer from a refused one', async () => {
    answer('replace secrets canvas-tool', new TransportError('Timeout', 'no answer within 30 s'));
    const [refusal] = (await apply(effects.deliver)).situation.refused.values();
    expect(refusal).to.include({ kind: 'Unanswered', because: 'no answer within 30 s' });
  });

  it('Applier does not carry out what follows a ledger write that was refused', async () => {
    answer('replace secrets canvas-lti-keys', quota);
    await apply(effects.writeLedger, effects.showKey, effects.deliver);
    expect(operator.objects.writes).to.deep.equal(['replace secrets canvas-lti-keys']);
  });

  it('Applier carries out what follows any other write that was refused', async () => {
    answer('replace secrets canvas-tool', quota);
    await apply(effects.deliver, effects.writeLedger);
    expect(operator.objects.writes).to.deep.equal(['replace secrets canvas-tool', 'replace secrets canvas-lti-keys']);
  });

  it('Applier removes the private half of a key that the written ledger has revoked', async () => {
    const { ledger } = gathered.record!;
    const keys = ledger.keys.map((key) => ({ ...key, state: 'Revoked' as const }));
    const { situation } = await apply({ ...effects.writeLedger, ledger: { ...ledger, keys } } as Effect);
    expect(Object.keys(ledgerSecret()!.data!)).to.deep.equal([ledgerEntry]);
    expect(situation.keyMaterial.size).to.equal(0);
  });

  it('Applier forgets an LtiKey that it removed', async () => {
    await apply(effects.showKey, effects.removeKey);
    expect(operator.sources.ownWrites.keys.newest('gradebook/canvas-1', undefined)).to.equal(undefined);
  });

  for (const kind of ['removeLedger', 'removeKey', 'removeDelivery'] as const) {
    it(`Applier takes an object that is already gone as removed: ${kind}`, async () => {
      const { write, shows, is } = results.find((result) => result.kind === kind)!;
      answer(write, gone);
      expect(shows(await apply(effects[kind]))).to.deep.equal(is);
    });
  }

  it('Applier shows nothing on an LtiKey whose creation was refused', async () => {
    answer('create ltikeys canvas-2', quota);
    const { key } = effects.createKey as Extract<Effect, { kind: 'createKey' }>;
    await apply(effects.createKey, { kind: 'showKey', key });
    expect(operator.objects.writes).to.deep.equal(['create ltikeys canvas-2']);
  });

  it('Applier throws if an LtiKey exists already, and the next pass has it although the cache lacks it', async () => {
    const { key } = effects.createKey as Extract<Effect, { kind: 'createKey' }>;
    const existing = operator.objects.put<LtiKey>(ltiKeys, { ...key, metadata: { ...key.metadata, uid: 'other' } });
    expect(await thrownBy(apply(effects.createKey))).to.have.property('reason', 'AlreadyExists');
    expect(operator.sources.ownWrites.keys.newest('gradebook/canvas-2', undefined)).to.deep.equal(existing);
  });

  it('Applier delivers nothing if the key no longer opens, and reports the fault for the next decision', async () => {
    const { keyID } = gathered.situation.ltiKeys[0]!.spec;
    const entry = Object.keys(ledgerSecret()!.data!).find((name) => name.endsWith('.jwe'))!;
    const damaged = { ...gathered.record!.secret, data: { ...ledgerSecret()!.data, [entry]: '' } };
    gathered = { ...gathered, record: { ...gathered.record!, secret: damaged } };
    const content = {
      secretName: 'canvas-tool',
      keyID,
      keyFiles: ['private.jwk'],
      entries: {},
      metadata: { labels: {}, annotations: {} },
      serial: 2,
    };
    const { situation } = await apply({ kind: 'deliver', content });
    expect(operator.objects.writes).to.deep.equal([]);
    expect(situation.keyMaterial.get(keyID)).to.have.property('reason', 'SealMalformed');
  });

  it('Applier requests a key pair, and drops the one that does not fit', async () => {
    const asked: string[] = [];
    operator.generator.drop = (key) => void asked.push(`drop ${key}`);
    operator.generator.request = (key, { size, urgent }) => void asked.push(`request ${key} ${size} ${urgent}`);
    const pair = { facts: gathered.record!.ledger.keys[0]!, jwe: '', kekID: 'kek-0' };
    gathered = { ...gathered, pair };
    const { situation } = await apply({ kind: 'generate', size: 4096, urgent: true });
    expect(asked).to.deep.equal(['drop gradebook/canvas', 'request gradebook/canvas 4096 true']);
    expect(situation.generating).to.equal(true);
  });

  describe('and a waiting key pair', () => {
    /** Asks for a rotation, whose key pair then waits. */
    beforeEach(async () => {
      operator.apply(anLtiRegistration({ delivery, rotationTrigger: '2' }));
      await operator.reconcile();
      await operator.keyPair();
      operator.objects.writes.length = 0;
      gathered = (await gather(operator.sources, registrationKey))!;
    });

    it('Applier stores the pair with its private half, and then drops it', async () => {
      const before = Object.keys(ledgerSecret()!.data!);
      const { situation, pair } = await apply(...decide(gathered.situation).effects.slice(0, 1));
      expect(pair ?? situation.pair).to.equal(undefined);
      expect(Object.keys(ledgerSecret()!.data!)).to.have.length(before.length + 1);
      expect(situation.keyMaterial.size).to.equal(2);
      expect(operator.generator.take(registrationKey)).to.equal(undefined);
      expect([operator.rotations, operator.announced.at(-1)]).to.deep.equal([['started'], 'Normal KeyCreated']);
    });

    it('Applier keeps the pair for the next attempt if the write is refused', async () => {
      answer('replace secrets canvas-lti-keys', quota);
      const { pair } = await apply(...decide(gathered.situation).effects);
      expect(pair).to.not.equal(undefined);
      expect(operator.generator.take(registrationKey)).to.equal(pair);
    });

    it('Applier never sends a new key without its private half to the API server', async () => {
      const { pair: _, ...without } = gathered;
      gathered = without;
      const failure = await thrownBy(apply(...decide(gathered.situation).effects));
      expect(failure)
        .to.be.an('error')
        .with.property('message')
        .that.matches(/would be recorded without its private half/);
      expect(operator.objects.writes).to.deep.equal([]);
    });
  });

  describe('and the status of the registration', () => {
    const show = (more: object): ReturnType<Applier['writeStatus']> =>
      operator.applier.writeStatus(gathered, { ...operator.registration()!.status, ...more });
    const write = 'replaceStatus ltiregistrations canvas';

    it('Applier writes a status that says something else', async () => {
      await show({ phase: 'Stalled' });
      expect(operator.objects.writes).to.deep.equal([write]);
      expect(operator.registration()?.status?.phase).to.equal('Stalled');
    });

    for (const [title, more] of [
      ['that says the same', {}],
      ['that says the same at a later serial', { ledgerSerial: 9 }],
      ['of an earlier serial', { ledgerSerial: 1, phase: 'Stalled' }],
    ] as const) {
      it(`Applier writes no status ${title}`, async () => {
        await show(more);
        expect(operator.objects.writes).to.deep.equal([]);
      });
    }

    it('Applier counts and logs a refused status, and returns the refusal', async () => {
      answer(write, quota);
      expect(await show({ phase: 'Stalled' })).to.include({
        kind: 'Refused',
        because: '403 Forbidden: exceeded quota: q',
      });
      expect(operator.refusedResources).to.deep.equal(['ltiregistrations/status']);
    });

    it('Applier reports a refused status, and what it would have said, by events once an hour', async () => {
      answer(write, quota);
      const { conditions = [] } = operator.registration()!.status!;
      const stalled = conditions.map((one) =>
        one.type === 'Stalled' ? { ...one, status: 'True', reason: 'LedgerMissing', message: 'it is gone' } : one,
      );
      operator.announced.length = 0;
      await show({ conditions: stalled });
      const events = ['Warning WriteRefused', 'Warning LedgerMissing'];
      expect(operator.announced).to.deep.equal(events);
      await operator.clock.advance(hour - second);
      await show({ conditions: stalled });
      expect(operator.announced).to.deep.equal(events);
      await operator.clock.advance(second);
      await show({ conditions: stalled });
      expect(operator.announced).to.deep.equal([...events, ...events]);
    });
  });

  function effectsOn({ record, situation }: Gathered, key: LtiKey): typeof effects {
    const {
      resourceVersion: _,
      uid: __,
      ...metadata
    } = { ...key.metadata, name: 'canvas-2' } as KubeObject['metadata'];
    const ledger = { ...record!.ledger, serial: record!.ledger.serial + 1 };
    const content = {
      secretName: 'canvas-tool',
      keyFiles: [],
      entries: { 'jwks.json': '{"keys":[]}' },
      metadata: { labels: {}, annotations: {} },
      serial: 2,
    };
    expect(ledgerSecret()?.data).to.have.property(ledgerEntry);
    expect(situation.refused.size).to.equal(0);
    return {
      writeLedger: {
        kind: 'writeLedger',
        ledger,
        create: false,
        pair: false,
        reseal: [],
        reasons: ['SettingsRecorded'],
        announcements: [],
      },
      removeLedger: { kind: 'removeLedger' },
      createKey: { kind: 'createKey', key: { ...key, metadata, spec: { ...key.spec, revision: 2 } } },
      showKey: { kind: 'showKey', key: { ...key, status: { ...key.status, state: 'Revoked' } } },
      removeKey: { kind: 'removeKey', key },
      deliver: { kind: 'deliver', content },
      removeDelivery: { kind: 'removeDelivery', secretName: 'canvas-tool' },
    };
  }
});
