import { inspect } from 'node:util';
import { expect } from 'chai';
import {
  deliveryKeyIDAnnotation,
  ledgerSecretName,
  ltiKeys,
  ltiRegistrations,
  secrets,
} from '../../../src/api/names.ts';
import type { LtiKey, LtiRegistration } from '../../../src/api/objects.ts';
import { gather, type Sources } from '../../../src/controller/gather.ts';
import { KekError } from '../../../src/crypto/errors.ts';
import { hour, second } from '../../../src/domain/duration.ts';
import type { Situation } from '../../../src/domain/situation.ts';
import { ApiError, TransportError } from '../../../src/kube/errors.ts';
import type { Secret } from '../../../src/kube/objects.ts';
import { anLtiRegistration } from '../../builders/registration.ts';
import { keyPairs, MemoryOperator, registrationKey } from '../../fakes/memory-operator.ts';

const delivery = { secretName: 'canvas-tool' };
const forbidden = new ApiError('403 Forbidden', { status: 403, reason: 'Forbidden' });
const internal = new ApiError('500 InternalError', { status: 500, reason: 'InternalError' });
const missingType = new ApiError('404', { status: 404, reason: 'NotFound', missing: 'resource type' });
const timeout = new TransportError('Timeout', 'no answer within 10 s');
const malformed = new TransportError('Malformed', 'the answer is no JSON');
const disconnected = new TransportError('Connection', 'the connection broke off');
const busy = new ApiError('429', { status: 429, reason: 'TooManyRequests' });
const unauthorized = new ApiError('401', { status: 401, reason: 'Unauthorized' });

const ledgerSecret = ledgerSecretName('canvas');

const granting = {
  namespace: 'gradebook',
  name: 'former',
  annotations: { 'ltikeys.dev/import-granted-to': 'canvas' },
};

const importing = { import: { secretName: 'former', entry: 'private.pem' } };

/** Not a point of the curve. */
const noPoint = { kty: 'OKP', crv: 'X25519', alg: 'ECDH-ES+A256KW', x: 'AAAA' } as const;

describe('gather', () => {
  let operator: MemoryOperator;
  beforeEach(() => void (operator = new MemoryOperator()));

  async function ready(spec: Parameters<typeof anLtiRegistration>[0] = {}): Promise<void> {
    operator.apply(anLtiRegistration({ delivery, ...spec }));
    await operator.settle();
    operator.sources.ledgers.delete(registrationKey);
  }
  async function situation(more: Partial<Sources> = {}, failingFor = 0): Promise<Situation> {
    const gathered = await gather({ ...operator.sources, ...more }, registrationKey, failingFor);
    expect(gathered).to.not.equal(undefined);
    return gathered!.situation;
  }
  function change(name: string, edit: (secret: Secret) => Partial<Secret>): void {
    const secret = operator.objects.find<Secret>(secrets, 'gradebook', name)!;
    operator.objects.put(secrets, { ...secret, ...edit(secret) });
  }
  const fails = (call: string, error: Error): void => {
    operator.objects.before = (asked) => {
      if (asked === call) throw error;
    };
  };
  const encode = (text: string): string => Buffer.from(text).toString('base64');
  const lose = (): void => operator.objects.remove(secrets, 'gradebook', ledgerSecret);
  const loseStatus = (): void => {
    const { status: _, ...object } = operator.registration()!;
    operator.objects.put<LtiRegistration>(ltiRegistrations, object);
  };
  const loseKeys = (): void => operator.objects.remove(ltiKeys, 'gradebook', 'canvas-1');
  const theKey = (): string => operator.keys()[0]!.spec.keyID;

  it('gather finds everything in order for a registration that is Ready, and writes nothing', async () => {
    await ready();
    const found = await situation();
    const keyID = theKey();
    expect(found.registration.kind).to.equal('present');
    expect(found.ledger).to.include({ kind: 'present' });
    expect(found.ltiKeys.map(({ spec }) => spec.keyID)).to.deep.equal([keyID]);
    expect(found.keyMaterial.get(keyID)).to.deep.equal({ opens: true, kekID: 'kek-1' });
    expect([...found.observation.servedKeyIDs]).to.deep.equal([keyID]);
    expect(found.deliveries.get('canvas-tool')).to.include({ kind: 'ours', keyID, intact: true });
    expect(found).to.include({ sealingKekID: 'kek-1', clockSkew: 0, now: operator.clock.now().getTime() });
    expect(operator.objects.writes).to.deep.equal([]);
  });

  it('gather takes the key ID of a delivery Secret without the file kid from its annotation', async () => {
    await ready({ delivery: { secretName: 'canvas-tool', files: ['private.jwk'] } });
    const found = (await situation()).deliveries.get('canvas-tool');
    expect(found).to.deep.include({ keyID: theKey(), intact: true, keyFiles: ['private.jwk'], entries: {} });
  });

  it('gather does not take a private key without a key ID for intact', async () => {
    await ready({ delivery: { secretName: 'canvas-tool', files: ['private.jwk'] } });
    const secret = operator.objects.find<Secret>(secrets, 'gradebook', 'canvas-tool')!;
    const { [deliveryKeyIDAnnotation]: _, ...annotations } = secret.metadata.annotations!;
    operator.objects.put<Secret>(secrets, { ...secret, metadata: { ...secret.metadata, annotations } });
    const found = (await situation()).deliveries.get('canvas-tool');
    expect(found).to.include({ intact: false }).and.to.not.have.any.keys('keyID');
  });

  const faults: readonly {
    title: string;
    damage: () => void;
    /** Without a registration that was Ready before. */
    fresh?: Parameters<typeof anLtiRegistration>[0];
    fault: (situation: Situation) => unknown;
    reason: string;
    says: string;
  }[] = [
    ...[forbidden, internal, timeout, malformed].map((error) => ({
      title: `a ledger Secret that cannot be read (${error.message})`,
      damage: () => fails(`get secrets ${ledgerSecret}`, error),
      fault: ledgerFault,
      reason: 'LedgerUnreadable',
      says: `cannot read the ledger Secret gradebook/${ledgerSecret}: ${error.message}`,
    })),
    {
      title: 'a ledger Secret of another type',
      damage: () => change(ledgerSecret, () => ({ type: 'Opaque' })),
      fault: ledgerFault,
      reason: 'LedgerSecretConflict',
      says: `Secret gradebook/${ledgerSecret}`,
    },
    {
      title: 'a ledger Secret without a ledger',
      damage: () => change(ledgerSecret, () => ({ data: {} })),
      fault: ledgerFault,
      reason: 'LedgerCorrupt',
      says: `Secret gradebook/${ledgerSecret}`,
    },
    {
      title: 'a refused list of LtiKeys while it is unknown whether there were keys',
      fresh: {},
      damage: () => fails('list ltikeys', forbidden),
      fault: ledgerFault,
      reason: 'LedgerUnreadable',
      says: 'cannot list the LtiKeys of namespace gradebook',
    },
    {
      title: 'a spec that does not parse',
      damage: () => operator.apply(anLtiRegistration({ delivery, rotateAfter: 'often' })),
      fault: ({ registration }) => registration.kind === 'present' && registration.registration,
      reason: 'SpecInvalid',
      says: 'the operator cannot use the spec: ',
    },
    {
      title: 'a sealed key that is missing',
      damage: () => change(ledgerSecret, ({ data }) => ({ data: { 'ledger.json': data!['ledger.json']! } })),
      fault: ({ keyMaterial }) => keyMaterial.get(theKey()),
      reason: 'SealedKeyMissing',
      says: 'restore it from a backup',
    },
    {
      title: 'a sealed key that is damaged',
      damage: () =>
        change(ledgerSecret, ({ data }) => ({
          data: { ...data, [Object.keys(data!).find((entry) => entry.endsWith('.jwe'))!]: encode('{}') },
        })),
      fault: ({ keyMaterial }) => keyMaterial.get(theKey()),
      reason: 'SealMalformed',
      says: 'registration gradebook/canvas',
    },
    {
      title: 'a KEK that is missing, for the keys sealed under it',
      damage: () => (operator.keks.problem = new KekError('KEKMissing', 'the KEK file is missing')),
      fault: ({ keyMaterial }) => keyMaterial.get(theKey()),
      reason: 'SealKEKMissing',
      says: 'the KEK file is missing',
    },
    {
      title: 'a KEK that is missing, for new keys',
      damage: () => (operator.keks.problem = new KekError('KEKMissing', 'the KEK file is missing')),
      fault: ({ sealingFault }) => sealingFault,
      reason: 'KEKMissing',
      says: 'the KEK file is missing',
    },
    {
      title: 'a KEK provider that throws',
      damage: () =>
        (operator.keks.status = () => {
          throw new TypeError('d=secret');
        }),
      fault: ({ sealingFault }) => sealingFault,
      reason: 'UnexpectedError',
      says: 'unexpected error (TypeError)',
    },
    ...[forbidden, internal, timeout, malformed].map((error) => ({
      title: `a delivery Secret that cannot be read (${error.message})`,
      damage: () => fails('get secrets canvas-tool', error),
      fault: deliveryFault,
      reason: 'DeliverySecretUnreadable',
      says: `cannot read Secret gradebook/canvas-tool, so it delivers nothing: ${error.message}`,
    })),
    {
      title: 'a delivery Secret of another owner',
      damage: () => change('canvas-tool', () => ({ type: 'Opaque' })),
      fault: deliveryFault,
      reason: 'DeliverySecretConflict',
      says: 'Secret gradebook/canvas-tool exists',
    },
    {
      title: 'a recipient with a key that nothing can be encrypted for',
      damage: () => operator.apply(anLtiRegistration({ delivery: { ...delivery, recipient: noPoint } })),
      fault: ({ recipient }) => recipient,
      reason: 'DeliveryRecipientInvalid',
      says: 'spec.delivery.recipient',
    },
    {
      title: 'an import Secret that does not exist',
      fresh: importing,
      damage: () => undefined,
      fault: ({ imports }) => imports?.signing,
      reason: 'ImportSecretMissing',
      says: 'Secret gradebook/former',
    },
    {
      title: 'an import Secret that the operator may not read',
      fresh: importing,
      damage: () => fails('get secrets former', forbidden),
      fault: ({ imports }) => imports?.signing,
      reason: 'ImportSecretUnreadable',
      says: 'Secret gradebook/former',
    },
    {
      title: 'an import Secret that does not grant its import',
      fresh: importing,
      damage: () => operator.objects.put<Secret>(secrets, { metadata: { namespace: 'gradebook', name: 'former' } }),
      fault: ({ imports }) => imports?.signing,
      reason: 'ImportNotGranted',
      says: 'kubectl annotate secret former',
    },
    {
      title: 'an import Secret without a key',
      fresh: importing,
      damage: () => operator.objects.put<Secret>(secrets, { metadata: granting, data: { 'private.pem': encode('x') } }),
      fault: ({ imports }) => imports?.signing,
      reason: 'ImportKeyRefused',
      says: 'Secret gradebook/former, entry private.pem',
    },
  ];

  for (const { title, damage, fresh, fault, reason, says } of faults) {
    it(`gather reports ${title} as ${reason}`, async () => {
      if (fresh) operator.apply(anLtiRegistration(fresh));
      else await ready();
      damage();
      const found = fault(await situation());
      expect(found).to.have.property('reason', reason);
      expect(found).to.have.property('message').that.includes(says).and.does.not.include('d=secret');
    });
  }

  const traces: readonly { title: string; left: () => void; trace: string }[] = [
    { title: 'the status', left: () => undefined, trace: 'its status names them' },
    { title: 'an LtiKey', left: () => loseStatus(), trace: 'LtiKey canvas-1 exists' },
    {
      title: 'a delivery Secret',
      left: () => (loseStatus(), loseKeys()),
      trace: 'delivery Secret canvas-tool exists',
    },
  ];
  for (const { title, left, trace } of traces) {
    it(`gather recognizes by ${title} that the ledger was lost`, async () => {
      await ready();
      lose();
      left();
      expect((await situation()).ledger).to.deep.equal({ kind: 'absent', trace });
    });
  }

  it('gather recognizes by an LtiKey that its cache does not show that the ledger was lost', async () => {
    await ready();
    lose();
    loseStatus();
    const keys = { ...operator.sources.keys, byIndex: (): readonly LtiKey[] => [] };
    operator.objects.remove(secrets, 'gradebook', 'canvas-tool');
    expect((await situation({ keys })).ledger).to.deep.equal({ kind: 'absent', trace: 'LtiKey canvas-1 exists' });
  });

  describe('after a write of this process', () => {
    const ledgerReads = (): number =>
      operator.objects.reads.filter((read) => read === `get secrets ${ledgerSecret}`).length;
    beforeEach(async () => {
      operator.apply(anLtiRegistration());
      await operator.reconcile();
      await operator.keyPair();
      await operator.reconcile();
      operator.objects.reads.length = 0;
    });

    it('gather takes the LtiKey that was written if the cache does not show it yet', async () => {
      const found = await situation({ keys: { ...operator.sources.keys, byIndex: () => [] } });
      expect(found.ltiKeys.map(({ status }) => status?.state)).to.deep.equal(['Next']);
    });

    it('gather takes the ledger that was written without a read', async () => {
      expect((await situation()).ledger).to.have.nested.property('ledger.serial', 1);
      expect(ledgerReads()).to.equal(0);
    });

    it('gather reads the ledger if an LtiKey shows a later one', async () => {
      const [key] = operator.keys();
      operator.objects.put<LtiKey>(ltiKeys, { ...key!, status: { ...key!.status, ledgerSerial: 2 } });
      await situation();
      expect(ledgerReads()).to.equal(1);
    });
  });

  it('gather reads a ledger that was missing again if an LtiKey has come', async () => {
    await ready();
    lose();
    operator.sources.ledgers.setMissing(registrationKey);
    expect((await situation()).ledger).to.have.property('trace');
    expect(operator.objects.reads).to.include(`get secrets ${ledgerSecret}`);
  });

  it('gather finds no ledger and no trace of one for a new registration', async () => {
    operator.apply(anLtiRegistration());
    expect((await situation()).ledger).to.deep.equal({ kind: 'absent' });
  });

  describe('if the cache lacks the registration', () => {
    const answers: readonly { title: string; answer?: Error; exists: boolean; kind: string }[] = [
      { title: 'gone if the API server says so', exists: false, kind: 'gone' },
      { title: 'unknown if the API server has it', exists: true, kind: 'unknown' },
      { title: 'unknown if the read is forbidden', answer: forbidden, exists: false, kind: 'unknown' },
      { title: 'unknown if the read gets no answer', answer: timeout, exists: false, kind: 'unknown' },
    ];
    for (const { title, answer, exists, kind } of answers) {
      it(`gather reports it as ${title}`, async () => {
        await ready();
        if (!exists) operator.deleteRegistration();
        if (answer) fails('get ltiregistrations canvas', answer);
        const { registration } = await situation({ registrations: { get: () => undefined } });
        expect(registration.kind).to.equal(kind);
      });
    }

    it('gather reports the last spec that this process saw', async () => {
      await ready({ deletionPolicy: 'Delete' });
      operator.deleteRegistration();
      expect((await situation()).registration).to.have.nested.property('last.deletionPolicy', 'Delete');
    });
  });

  const thrown: readonly {
    call: string;
    error: Error;
    gone?: true;
    fresh?: Parameters<typeof anLtiRegistration>[0];
  }[] = [
    ...[disconnected, busy, unauthorized].flatMap((error) => [
      { call: `get secrets ${ledgerSecret}`, error },
      { call: 'get secrets canvas-tool', error },
      { call: 'list ltikeys', error, fresh: {} },
      { call: 'get secrets former', error, fresh: importing },
      { call: 'get ltiregistrations canvas', error, gone: true as const },
    ]),
    { call: 'get ltiregistrations canvas', error: missingType, gone: true },
  ];
  for (const { call, error, gone, fresh } of thrown) {
    it(`gather throws if "${call}" fails with ${error.message}, so that the pass is repeated`, async () => {
      if (fresh) operator.apply(anLtiRegistration(fresh));
      else await ready();
      if (gone) operator.deleteRegistration();
      fails(call, error);
      const failure = await gather(operator.sources, registrationKey).catch((caught: unknown) => caught);
      expect(failure).to.equal(error);
    });
  }

  for (const error of [busy, unauthorized]) {
    it(`gather reports Secrets as unreadable that it has not been able to read for three seconds (${error.message})`, async () => {
      await ready();
      operator.objects.before = (asked) => {
        if (asked.startsWith('get secrets')) throw error;
      };
      const found = await situation({}, 3 * second + 1);
      expect(ledgerFault(found)).to.have.property('reason', 'LedgerUnreadable');
      expect(deliveryFault(found)).to.have.property('reason', 'DeliverySecretUnreadable');
    });
  }

  it('gather returns nothing for a name without any object, and releases what was kept for it', async () => {
    const forgotten: string[] = [];
    operator.sources.lastSeen.set(registrationKey, anLtiRegistration());
    operator.generator.request(registrationKey, { size: 2048, urgent: false });
    const usage = { ...operator.sources.usage, forget: (key: string) => void forgotten.push(key) };
    expect(await gather({ ...operator.sources, usage }, registrationKey)).to.equal(undefined);
    expect(forgotten).to.deep.equal([registrationKey]);
    expect(operator.sources.lastSeen.size).to.equal(0);
    expect(operator.generator.pending).to.equal(0);
  });

  describe('of the time', () => {
    const skews: readonly [skew: number | undefined, behind: number][] = [
      [undefined, 0],
      [1.9 * second, 0],
      [-1.9 * second, 0],
      [2 * second, 2 * second],
      [hour, hour],
      [-hour, -hour],
    ];
    for (const [skew, behind] of skews) {
      it(`gather takes the API server's time if the local clock is ${skew ?? 'an unknown number of'} ms ahead`, async () => {
        operator.apply(anLtiRegistration());
        const { now, clockSkew } = await situation({ clockSkew: () => skew });
        expect(now).to.equal(operator.clock.now().getTime() - behind);
        expect(clockSkew).to.equal(skew ?? 0);
      });
    }
  });

  it('gather seals the key of an import, and the situation holds no private key', async () => {
    const { keyID, privateKey } = (await keyPairs())[0]!;
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    operator.objects.put<Secret>(secrets, { metadata: granting, data: { 'private.pem': encode(pem) } });
    operator.apply(anLtiRegistration(importing));
    const found = (await gather(operator.sources, registrationKey))!;
    expect(found.situation.pair).to.have.nested.property('facts.keyID', keyID);
    expect(found.pair).to.have.property('kekID', 'kek-1');
    expect(inspect(found, { depth: Infinity }))
      .to.not.include('PRIVATE KEY')
      .and.not.include('PrivateKeyObject');
  });

  it('gather throws an unexpected error in sealing an imported key, and an unusable KEK is a fault', async () => {
    const { privateKey } = (await keyPairs())[0]!;
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    operator.objects.put<Secret>(secrets, { metadata: granting, data: { 'private.pem': encode(pem) } });
    operator.apply(anLtiRegistration(importing));
    operator.keks.sealingKey = () => Promise.reject(new KekError('KEKMissing', 'there is no KEK'));
    expect(await gather(operator.sources, registrationKey)).to.not.have.property('pair');
    operator.keks.sealingKey = () => Promise.reject(new TypeError('a defect'));
    const error = await gather(operator.sources, registrationKey).catch((caught: unknown) => caught);
    expect(error).to.be.instanceOf(TypeError);
  });
});

function ledgerFault({ ledger }: Situation): unknown {
  return ledger.kind === 'faulty' && ledger.fault;
}

function deliveryFault({ deliveries }: Situation): unknown {
  const secret = deliveries.get('canvas-tool');
  return secret && 'fault' in secret && secret.fault;
}
