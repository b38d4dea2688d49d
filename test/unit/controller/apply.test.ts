import { expect } from 'chai';
import { ledgerSecretName, ltiKeys, secrets } from '../../../src/api/names.ts';
import type { LtiKey } from '../../../src/api/objects.ts';
import { Applier } from '../../../src/controller/apply.ts';
import type { Gathered } from '../../../src/controller/gather.ts';
import { createLedger } from '../../../src/controller/secrets/ledger-secret.ts';
import { OwnWrites } from '../../../src/controller/own-writes.ts';
import type { KekProvider } from '../../../src/crypto/kek-provider.ts';
import { decide } from '../../../src/domain/decide.ts';
import { effectID } from '../../../src/domain/effects.ts';
import { ltiKeyOf } from '../../../src/domain/ltikeys.ts';
import { readRegistration } from '../../../src/domain/registration.ts';
import type { Situation } from '../../../src/domain/situation.ts';
import { ApiError } from '../../../src/kube/errors.ts';
import type { Secret } from '../../../src/kube/objects.ts';
import { aKey, aLedger, epoch, keyFacts } from '../../builders/ledger.ts';
import { anLtiRegistration } from '../../builders/registration.ts';
import { aSituation, opens } from '../../builders/situation.ts';
import { MemoryObjects } from '../../fakes/memory-objects.ts';
import { recordingLog } from '../../fakes/recording-log.ts';

const revoking = anLtiRegistration({ revokedKeyIDs: ['kid-1'] });
const quota = new ApiError('no', { status: 403, reason: 'Forbidden', serverMessage: 'exceeded quota: q' });

describe('What was decided', () => {
  let objects: MemoryObjects;
  let lines: ReturnType<typeof recordingLog>['lines'];
  let applier: Applier;
  let refusedResources: string[];
  let dropped: string[];

  beforeEach(() => {
    objects = new MemoryObjects();
    const recording = recordingLog();
    lines = recording.lines;
    refusedResources = [];
    dropped = [];
    applier = new Applier({
      client: objects.client,
      keks: {} as KekProvider,
      generator: { request: () => undefined, drop: (key) => void dropped.push(key) },
      written: { registrations: new OwnWrites(), keys: new OwnWrites() },
      recent: { wrote: () => undefined, forget: () => undefined },
      events: { record: () => undefined },
      log: recording.log,
      metrics: { rotation: () => undefined, refused: (resource) => void refusedResources.push(resource) },
    });
  });

  /** A registration whose signing key is revoked while the pair of its replacement waits to be written. */
  async function revocation(more: Partial<Situation> = {}): Promise<Gathered> {
    const ledger = aLedger([aKey(1, 'Active')]);
    const record = await createLedger(objects.client, ledger, [{ keyID: 'kid-1', jwe: 'sealed kid-1' }]);
    const shown = ledger.keys.map((key) =>
      objects.put<LtiKey>(ltiKeys, ltiKeyOf(ledger, key, opens, undefined, epoch)),
    );
    objects.writes.length = 0;
    const pair = { facts: keyFacts('kid-2'), kekID: 'kek-1', jwe: 'sealed kid-2' };
    const registration = { kind: 'present', object: revoking, registration: readRegistration(revoking) } as const;
    return { situation: aSituation({ registration, shown, pair, ...more }), record, secrets: new Map(), pair };
  }

  /** As controller/reconcile.ts does, but for the status. */
  async function carriedOut(gathered: Gathered): Promise<Gathered> {
    let current = gathered;
    for (let pass = 0; pass < 10; pass++) {
      const { situation } = current;
      const effects = decide(situation).effects.filter((effect) => !situation.refused.has(effectID(effect)));
      if (effects.length === 0) return current;
      current = await applier.apply(current, effects);
    }
    throw new Error('the decision does not settle');
  }

  async function sealed(): Promise<Record<string, string>> {
    const { data = {} } = await objects.get<Secret>(secrets, 'gradebook', ledgerSecretName('canvas'));
    const entries = Object.entries(data).filter(([name]) => name.endsWith('.jwe'));
    return Object.fromEntries(entries.map(([name, value]) => [name, Buffer.from(value, 'base64').toString()]));
  }

  it('stores a waiting key pair with its private half, also after another write of the ledger', async () => {
    const { situation } = await carriedOut(await revocation());
    expect(situation.ledger).to.have.nested.property('ledger.serial', 9);
    expect(await sealed()).to.deep.equal({ 'kid-1.jwe': 'sealed kid-1', 'kid-2.jwe': 'sealed kid-2' });
    expect(dropped).to.deep.equal(['gradebook/canvas']);
    expect(situation).to.not.have.property('pair');
  });

  it('never reaches the API server with a new key whose private half is missing', async () => {
    const { pair: _, ...gathered } = await revocation();
    const failure = await carriedOut(gathered).catch((error: unknown) => error);
    expect(failure).to.be.an('error').with.property('message', 'key kid-2 would be recorded without its private half');
    expect(await sealed()).to.deep.equal({ 'kid-1.jwe': 'sealed kid-1' });
  });

  it('goes on without a refused write, keeps the pair, and tells metric and log', async () => {
    objects.before = (write) => {
      if (write.startsWith('replace secrets')) throw quota;
    };
    const { situation, pair } = await carriedOut(await revocation());
    expect(objects.writes).to.deep.equal(['replace secrets canvas-lti-keys', 'replaceStatus ltikeys canvas-1']);
    expect(situation.shown[0]?.status?.state).to.equal('Revoked');
    expect(situation.refused.get('writeLedger')).to.deep.equal({
      verb: 'update',
      object: 'Secret gradebook/canvas-lti-keys',
      because: '403 Forbidden: exceeded quota: q',
    });
    expect(refusedResources).to.deep.equal(['secrets']);
    expect(lines.map(({ message }) => message)).to.include('the API server refused a write; the operator retries');
    expect(pair?.facts.keyID).to.equal('kid-2');
    expect(dropped).to.deep.equal([]);
  });

  it('ends with a lost race, so that everything is read again', async () => {
    const gathered = await revocation();
    objects.put(secrets, gathered.record!.secret);
    const failure = await carriedOut(gathered).catch((error: unknown) => error);
    expect(failure).to.be.instanceOf(ApiError).with.property('reason', 'Conflict');
  });
});
