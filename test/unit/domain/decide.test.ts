import { expect } from 'chai';
import { ltiKeyName } from '../../../src/api/names.ts';
import type { LtiKey, LtiRegistration } from '../../../src/api/objects.ts';
import { decide } from '../../../src/domain/decide.ts';
import { day, hour, minute, second } from '../../../src/domain/duration.ts';
import { type Effect, effectID } from '../../../src/domain/effects.ts';
import type { Ledger, LedgerKey } from '../../../src/domain/ledger.ts';
import { ltiKeyOf } from '../../../src/domain/ltikeys.ts';
import { readRegistration } from '../../../src/domain/registration.ts';
import type { DeliverySecret, Refusal, Situation } from '../../../src/domain/situation.ts';
import { aKey, aLedger, epoch, keyFacts } from '../../builders/ledger.ts';
import { anLtiRegistration } from '../../builders/registration.ts';
import { anObservation, aSituation, damaged, noKek, opens } from '../../builders/situation.ts';

/** The effects for one registration in many situations, in the order in which they are carried out. */

type Spec = Partial<LtiRegistration['spec']>;

function applied(spec: Spec, more: Partial<LtiRegistration> = {}): Situation['registration'] {
  const object = { ...anLtiRegistration(spec), ...more };
  return { kind: 'present', object, registration: readRegistration(object) };
}

function gone(spec?: Spec): Situation['registration'] {
  return {
    kind: 'gone',
    ...(spec ? { last: readRegistration(anLtiRegistration(spec)) } : {}),
    definition: { kind: 'present', createdAt: epoch - hour, isTerminating: false },
  };
}

function holds(keyID: string | undefined, more: object = {}): DeliverySecret {
  return {
    kind: 'ours',
    ...(keyID === undefined ? {} : { keyID }),
    intact: true,
    serial: 7,
    keyFiles: keyID === undefined ? [] : ['private.jwk', 'private.pem', 'public.pem'],
    entries: keyID === undefined ? {} : { kid: keyID },
    metadata: { labels: {}, annotations: {} },
    lastApplied: false,
    ...more,
  };
}

function present(keys: readonly LedgerKey[], more: Partial<Ledger> = {}): Situation['ledger'] {
  return { kind: 'present', ledger: aLedger(keys, more) };
}

function showing(keys: readonly LedgerKey[], serial = 7): readonly LtiKey[] {
  const ledger = aLedger(keys, { serial });
  return keys.map((key) => ltiKeyOf(ledger, key, opens, undefined, epoch));
}

function refused(...effects: readonly string[]): ReadonlyMap<string, Refusal> {
  const because = '403 Forbidden: exceeded quota: q';
  return new Map(effects.map((id) => [id, { object: `object of ${id}`, verb: 'update', kind: 'Refused', because }]));
}

/** The effects, each as a few words. */
function done(situation: Situation): string[] {
  return decide(situation)
    .effects.filter((effect) => !situation.refused.has(effectID(effect)))
    .map((effect) => {
      if (effect.kind === 'showKey') return `${effectID(effect)} ${effect.key.status?.state ?? '-'}`;
      if (effect.kind === 'deliver') return `${effectID(effect)} ${effect.content.keyID ?? 'nothing'}`;
      return effectID(effect);
    });
}

function says(situation: Situation, type: string): string {
  const found = decide(situation).status?.conditions?.find((condition) => condition.type === type);
  return found ? `${found.status} ${found.reason}: ${found.message}` : 'nothing';
}

const active = aKey(1, 'Active');
const revoking: Spec = { revokedKeyIDs: ['kid-1'] };
const delivered: Spec = { delivery: { secretName: 'signing' } };
const withSecret = { deliveries: [{ secretName: 'signing' }] };
const holding = new Map([['signing', holds('kid-1')]]);

describe('A decision about a registration', () => {
  it('A decision about a registration requests a key pair if there is none, and stores it once it is ready', () => {
    const fresh = aSituation({ ledger: { kind: 'absent' }, ltiKeys: [] });
    expect(done(fresh)).to.deep.equal(['generate']);
    const ready = { ...fresh, pair: { facts: keyFacts('kid-1'), kekID: 'kek-1' } };
    expect(done(ready)).to.deep.equal(['writeLedger', 'createKey canvas-1', 'showKey canvas-1 Next']);
  });

  it('A decision about a registration requests no second key pair while one is being generated', () => {
    expect(done(aSituation({ ledger: { kind: 'absent' }, ltiKeys: [], generating: true }))).to.deep.equal([]);
  });

  it('A decision about a registration is the same for the same situation', () => {
    const situation = aSituation({ registration: applied({ ...revoking, ...delivered }), deliveries: holding });
    expect(decide(situation)).to.deep.equal(decide(situation));
  });

  it('A decision about a registration does not store a key pair of another size or key-encryption key', () => {
    const fresh = aSituation({
      ledger: { kind: 'absent' },
      ltiKeys: [],
      registration: applied({ key: { algorithm: 'RS256', size: 4096 } }),
    });
    expect(done({ ...fresh, pair: { facts: keyFacts('kid-1'), kekID: 'kek-1' } })).to.deep.equal(['generate']);
    const other = { facts: keyFacts('kid-1', 4096), kekID: 'kek-0' };
    expect(done({ ...fresh, pair: other })).to.deep.equal(['generate']);
  });

  it('A decision about a registration removes an LtiKey that the ledger does not list, after its key left the documents', () => {
    const ltiKeys = showing([active, aKey(2, 'Active')]);
    expect(done(aSituation({ ltiKeys }))).to.deep.equal(['showKey canvas-2 Revoked', 'removeKey canvas-2']);
  });

  it('A decision about a registration restores an LtiKey that was deleted, and one whose spec was changed', () => {
    expect(done(aSituation({ ltiKeys: [] }))).to.deep.equal(['createKey canvas-1', 'showKey canvas-1 Active']);
    const [key] = showing([active]);
    const edited = { ...key!, spec: { ...key!.spec, size: 4096 } };
    expect(done(aSituation({ ltiKeys: [edited] }))).to.deep.equal([
      'removeKey canvas-1',
      'createKey canvas-1',
      'showKey canvas-1 Active',
    ]);
  });

  it('A decision about a registration records the last fetch that the replicas report, and keeps the recorded one if they report none', () => {
    const fetches = { lastAt: epoch, complete: true };
    expect(decide(aSituation({ fetches })).status?.lastFetchTime).to.equal('2026-03-01T00:00:00Z');
    const registration = applied({}, { status: { lastFetchTime: '2026-02-28T00:00:00Z' } });
    expect(decide(aSituation({ registration })).status?.lastFetchTime).to.equal('2026-02-28T00:00:00Z');
    expect(decide(aSituation()).status).not.to.have.property('lastFetchTime');
  });

  it('A decision about a registration reports which entry of spec.revokedKeyIDs matches no key', () => {
    const situation = aSituation({ registration: applied({ revokedKeyIDs: ['kid-l'] }) });
    expect(says(situation, 'ActionRequired')).to.match(
      /^True UnknownRevokedKeyID: spec\.revokedKeyIDs\[0\]: the registration has no such key/,
    );
    expect(decide(situation).status?.phase).to.equal('ActionRequired');
  });

  it('A decision about a registration creates no key beyond sixteen, and reports TooManyKeys', () => {
    const many = [...Array.from({ length: 15 }, (_, index) => aKey(index + 1, 'Retiring')), aKey(16, 'Active')];
    const situation = aSituation({ registration: applied({ rotationTrigger: 'again' }), ledger: present(many) });
    expect(done(situation)).to.not.include('generate');
    expect(says(situation, 'Stalled')).to.match(/^True TooManyKeys: the registration has 16 published keys/);
  });

  it('A decision about a registration removes the copy of a delivery Secret that kubectl apply left in it', () => {
    const common = { registration: applied(delivered), ledger: present([active], withSecret) };
    const settled = decide(aSituation({ ...common, deliveries: holding })).effects.find(
      ({ kind }) => kind === 'deliver',
    );
    const content = (settled as Extract<Effect, { kind: 'deliver' }>).content;
    const right = holds('kid-1', { entries: content.entries, metadata: content.metadata });
    expect(done(aSituation({ ...common, deliveries: new Map([['signing', right]]) }))).to.deep.equal([]);
    const copied = { ...right, lastApplied: true } as DeliverySecret;
    expect(done(aSituation({ ...common, deliveries: new Map([['signing', copied]]) }))).to.deep.equal([
      'deliver signing kid-1',
    ]);
  });
});

describe('A rejected write', () => {
  it('A rejected write of the ledger does not keep a revoked key in the documents or the delivery Secret', () => {
    const situation = aSituation({
      registration: applied({ ...revoking, ...delivered }),
      ledger: present([active], withSecret),
      deliveries: holding,
      refused: refused('writeLedger'),
    });
    expect(done(situation)).to.deep.equal(['showKey canvas-1 Revoked', 'deliver signing nothing']);
    expect(says(situation, 'Stalled')).to.match(/^True WriteRefused: .*object of writeLedger.*exceeded quota: q/);
    expect(says(situation, 'Ready')).to.match(/^False NoSigningKey/);
    expect(says(situation, 'RevocationEffective')).to.match(/^False RevokedKeyStillServed/);
  });

  it('A rejected write of a new ledger is reported, and nothing else is written', () => {
    const situation = aSituation({ ledger: { kind: 'absent' }, ltiKeys: [], refused: refused('writeLedger') });
    expect(done(situation)).to.deep.equal([]);
    expect(says(situation, 'Stalled')).to.match(/^True WriteRefused/);
  });

  it('A rejected write of a new LtiKey does not keep a revoked one in the documents', () => {
    const keys = [aKey(1, 'Revoked', { revokedAt: epoch }), aKey(2, 'Next')];
    const situation = aSituation({
      registration: applied({ ...revoking, ...delivered }),
      ledger: present(keys, withSecret),
      ltiKeys: showing([active]),
      deliveries: holding,
      observation: anObservation(['kid-1']),
      refused: refused('createKey canvas-2'),
    });
    expect(done(situation)).to.deep.equal(['showKey canvas-1 Revoked', 'deliver signing nothing']);
    expect(says(situation, 'Stalled')).to.match(/^True WriteRefused: .*createKey canvas-2/);
  });

  it('A rejected write of a new LtiKey prevents the write of its status, and is reported at once', () => {
    const keys = [aKey(1, 'Next')];
    const refusing = aSituation({
      registration: applied({}, { status: { observedGeneration: -1 } }),
      ledger: present(keys),
      ltiKeys: [],
      observation: anObservation([]),
      refused: refused('createKey canvas-1'),
    });
    expect(done(refusing)).to.deep.equal([]);
    expect(says(refusing, 'Stalled')).to.match(/^True WriteRefused: .* createKey canvas-1, .*: 403 Forbidden/);
    const stranger = { ...aKey(1, 'Next'), ...keyFacts('kid-9') };
    const taken = {
      ...refusing,
      ltiKeys: showing([stranger]),
      refused: refused('removeKey canvas-1', 'showKey canvas-1'),
    };
    expect(done(taken)).to.deep.equal([]);
  });

  it('A rejected write of the state of a revoked key is replaced by the deletion of its LtiKey', () => {
    const situation = aSituation({
      registration: applied(revoking),
      ledger: present([aKey(1, 'Revoked', { revokedAt: epoch }), aKey(2, 'Active')]),
      ltiKeys: showing([active, aKey(2, 'Active')]),
      refused: refused('showKey canvas-1'),
    });
    expect(done(situation)).to.deep.equal(['removeKey canvas-1']);
    const removed = { ...situation, ltiKeys: showing([aKey(2, 'Active')]) };
    expect(done(removed), 'it does not return while a replica may serve it').to.deep.equal([]);
  });

  it('A rejected write of the state of a revoked key is replaced by the deletion of its LtiKey, which lost its state', () => {
    const [{ status: _, ...stateless }] = showing([active]) as [LtiKey];
    const revokedAt = epoch;
    const situation = aSituation({
      registration: applied(revoking),
      ledger: present([aKey(1, 'Revoked', { revokedAt }), aKey(2, 'Active')]),
      ltiKeys: [stateless, ...showing([aKey(2, 'Active')])],
      refused: refused('showKey canvas-1'),
    });
    expect(done(situation)).to.deep.equal(['removeKey canvas-1']);
    const unrecorded = { ...situation, ledger: present([active]), refused: new Map<string, Refusal>() };
    const [effect] = decide(unrecorded).effects;
    expect(effect).to.have.nested.property('key.status.state', 'Revoked');
    expect(effect, 'the ledger may not be written').to.not.have.nested.property('key.status.ledgerSerial');
    const absentAt = epoch;
    const restored = {
      ...situation,
      ledger: present([aKey(1, 'Revoked', { revokedAt, absentAt }), aKey(2, 'Active')]),
    };
    expect(done(restored), 'one that no replica serves is kept').to.deep.equal([]);
  });

  for (const [what, ledger] of [
    ['', present([aKey(1, 'Active'), aKey(2, 'Revoked', { revokedAt: epoch })])],
    [', with a ledger that cannot be read', { kind: 'faulty', fault: noKek }],
  ] as const) {
    it(`A rejected write and a rejected deletion of the LtiKey of a revoked key are reported by Ready${what}`, () => {
      const { status } = decide(aSituation({ observation: anObservation(['kid-1']) }));
      const situation = aSituation({
        registration: applied({ revokedKeyIDs: ['kid-2'] }, { status: status! }),
        ledger,
        ltiKeys: showing([aKey(1, 'Active'), aKey(2, 'Retiring')]),
        observation: anObservation(['kid-1']),
        refused: refused('showKey canvas-2', 'removeKey canvas-2'),
      });
      for (const type of ['Ready', 'RevocationEffective'])
        expect(says(situation, type)).to.match(
          /^False RevokedKeyStillServed: LtiKey .*canvas-2 .*kid-2.*exceeded quota/,
        );
    });
  }

  it('A signing key that is being revoked is not Ready while it waits for a replacement', () => {
    const situation = aSituation({
      registration: applied(revoking),
      ledger: present([aKey(1, 'Active', { revocationSeenAt: epoch })]),
    });
    expect(says(situation, 'Ready')).to.match(/^False RevokedKeyStillServed: key kid-1 signs and is being revoked/);
  });

  it('A rejected write of a delivery Secret with a revoked key is replaced by the deletion of the Secret', () => {
    const situation = aSituation({
      registration: applied({ ...revoking, ...delivered }),
      ledger: present([aKey(1, 'Revoked', { revokedAt: epoch })], withSecret),
      deliveries: holding,
      refused: refused('deliver signing'),
    });
    expect(done(situation)).to.include('removeDelivery signing');
  });

  for (const [kind, because, message] of [
    ['Refused', '403 Forbidden', /because the API server refuses the request: 403 Forbidden\. .* Check RBAC, quotas,/],
    [
      'Unauthenticated',
      '401',
      /because the API server does not accept the operator's credentials: 401\. .* Check the Service/,
    ],
    ['Held', 'finalizers a/b', /because the API server keeps the deleted object: finalizers a\/b\. .* Check which/],
    [
      'Contended',
      '409 Conflict',
      /because another client writes the object at the same time: 409 Conflict\. .* Check in/,
    ],
    ['Overloaded', '429', /because the API server does not process the request: 429\. .* Check the health and load/],
    [
      'Unanswered',
      'no answer in 30 s',
      /because the API server gives no usable answer: no answer in 30 s\. .*webhooks/,
    ],
  ] as const) {
    it(`A rejected write is reported with what happened and what to check: ${kind}`, () => {
      const refusal: Refusal = { kind, verb: 'update', object: 'Secret gradebook/canvas-lti-keys', because };
      const situation = aSituation({
        ledger: { kind: 'absent' },
        ltiKeys: [],
        refused: new Map([['writeLedger', refusal]]),
      });
      expect(says(situation, 'Stalled'))
        .to.match(/^True WriteRefused: the operator cannot update Secret grade/)
        .and.match(message);
    });
  }

  it('A rejected write and a rejected deletion of a delivery Secret are reported with the revoked key that it holds', () => {
    const situation = aSituation({
      registration: applied({ ...revoking, ...delivered }),
      ledger: present([aKey(1, 'Revoked', { revokedAt: epoch, absentAt: epoch })], withSecret),
      deliveries: holding,
      observation: anObservation([], { absentKeyIDs: new Set(['kid-1']) }),
      refused: refused('createKey canvas-2', 'deliver signing', 'removeDelivery signing'),
    });
    const still =
      /^False RevokedKeyDelivered: Secret gradebook\/signing still holds revoked key kid-1, .*Delete the Secret/;
    expect(says(situation, 'RevocationEffective')).to.match(still);
    const served = { ...situation, observation: anObservation([], { stillServed: new Map([['kid-1', 'jwks-2']]) }) };
    expect(says(served, 'RevocationEffective')).to.match(
      /^False RevokedKeyStillServed: .*jwks-2; Secret .*Delete the Secret/,
    );
    const unreadable: Partial<Situation> = { ...situation, ledger: { kind: 'faulty', fault: noKek } };
    expect(says({ ...situation, ...unreadable }, 'RevocationEffective')).to.match(still);
  });

  it('A rejected write is retried soon', () => {
    const situation = aSituation({ ledger: { kind: 'absent' }, ltiKeys: [], refused: refused('writeLedger') });
    expect(decide(situation).nextCheckAt).to.equal(epoch + 20 * second);
  });

  it('A rejected write that succeeds later does not publish a revoked key again for the rest of its grace period', () => {
    const situation = aSituation({
      registration: applied(revoking),
      ltiKeys: showing([aKey(1, 'Revoked', { revokedAt: epoch })]),
    });
    const [effect] = decide(situation).effects;
    expect(effect).to.have.nested.property('ledger.keys[0].state', 'Revoked');
    expect(done(situation)).to.not.include('showKey canvas-1 Active');
  });
});

describe('A ledger that cannot be used', () => {
  const faults: readonly (readonly [string, Partial<Situation>, string])[] = [
    ['is gone', { ledger: { kind: 'absent', trace: 'its status names them' } }, 'LedgerMissing'],
    ['is corrupt', { ledger: { kind: 'faulty', fault: { reason: 'LedgerCorrupt', message: 'no' } } }, 'LedgerCorrupt'],
    [
      'cannot be read',
      { ledger: { kind: 'faulty', fault: { reason: 'LedgerUnreadable', message: 'no' } } },
      'LedgerUnreadable',
    ],
    ['was rolled back', { ledger: present([active], { serial: 3 }) }, 'LedgerRolledBack'],
    ['is of another issuer', { ledger: present([active], { issuer: 'https://other.example.org' }) }, 'IssuerChanged'],
  ];
  for (const [what, more, reason] of faults) {
    it(`A ledger that ${what} does not keep revoked keys in the documents or the delivery Secret`, () => {
      const situation = aSituation({
        registration: applied({ ...revoking, ...delivered }),
        ltiKeys: showing([active]),
        deliveries: holding,
        ...more,
      });
      expect(done(situation).slice(0, 2)).to.deep.equal(['showKey canvas-1 Revoked', 'deliver signing nothing']);
      expect(says(situation, 'Stalled')).to.match(new RegExp(`^True ${reason}`));
      expect(says(situation, 'Ready')).to.match(/^(Unknown|False)/);
    });

    it(`A ledger that ${what} causes no new key and no deletion`, () => {
      const situation = aSituation({
        registration: applied(delivered),
        ltiKeys: showing([active]),
        deliveries: holding,
        ...more,
      });
      const kinds = new Set(decide(situation).effects.map(({ kind }) => kind));
      expect([...kinds].filter((kind) => kind !== 'showKey')).to.deep.equal([]);
    });
  }

  it('A ledger that cannot be used never publishes a revoked key again, even if its LtiKey has lost its state', () => {
    for (const more of [
      {},
      { ledger: { kind: 'faulty', fault: { reason: 'LedgerCorrupt', message: 'no' } } } as const,
    ]) {
      const ltiKeys = showing([active]).map((key) => {
        const { state: _, ...status } = key.status!;
        return { ...key, status };
      });
      for (const registration of [applied(revoking), gone(revoking)]) {
        const situation = aSituation({ registration, ledger: { kind: 'absent', trace: 'of it' }, ltiKeys, ...more });
        expect(done(situation)).to.deep.equal(['showKey canvas-1 Revoked']);
      }
    }
  });

  it('A ledger that cannot be used reports a revoked key ID that no LtiKey has', () => {
    const situation = aSituation({
      registration: applied({ revokedKeyIDs: ['kid-l'] }),
      ledger: { kind: 'absent', trace: 'LtiKey canvas-1 exists' },
      ltiKeys: showing([active]),
    });
    expect(says(situation, 'ActionRequired')).to.match(/^True UnknownRevokedKeyID/);
  });
});

describe('A delivery Secret that cannot be read', () => {
  const fault = {
    reason: 'DeliverySecretUnreadable',
    message: 'the operator cannot read Secret gradebook/signing',
  } as const;
  const situation = aSituation({
    registration: applied({ ...revoking, ...delivered }),
    ledger: present([aKey(1, 'Revoked', { revokedAt: epoch, absentAt: epoch })], withSecret),
    deliveries: new Map([['signing', { kind: 'unreadable', fault }]]),
    observation: anObservation([], { absentKeyIDs: new Set(['kid-1']) }),
  });

  for (const [what, ledger] of [
    ['', situation.ledger],
    [', with a ledger that cannot be read', { kind: 'faulty', fault: noKek }],
  ] as const) {
    it(`A delivery Secret that cannot be read is reported as one that may hold a revoked key${what}`, () => {
      const said = says({ ...situation, ledger }, 'RevocationEffective');
      expect(said).to.match(
        /^False RevokedKeyDelivered: Secret gradebook\/signing may still hold .*kid-1.*or delete it/,
      );
    });
  }

  it('A delivery Secret that cannot be read is one of those that the status names', () => {
    expect(decide(situation).status?.deliverySecretNames).to.deep.equal(['signing']);
    const absent = { ...situation, deliveries: new Map([['signing', { kind: 'absent' }]]) } as Situation;
    expect(decide(absent).status).to.not.have.property('deliverySecretNames');
  });
});

describe('A revocation that the ledger cannot record', () => {
  const corrupt = { kind: 'faulty', fault: { reason: 'LedgerCorrupt', message: 'no' } } as const;
  const status = {
    activeKey: { name: 'canvas-1', keyID: 'kid-1' },
    nextKey: { name: 'canvas-2', keyID: 'kid-2' },
    conditions: decide(aSituation()).status!.conditions!,
  };
  const all: Spec = { revokedKeyIDs: ['kid-1', 'kid-2'] };

  it('is not reported as complete before a replica was checked', () => {
    const revokedKey = aKey(1, 'Revoked', { revokedAt: epoch });
    const situation = aSituation({ registration: applied(revoking), ledger: corrupt, ltiKeys: showing([revokedKey]) });
    expect(says(situation, 'RevocationEffective')).to.match(/^False RevokedKeyStillServed: .*no replica was checked/);
    const absent = { ...situation, observation: anObservation([], { absentKeyIDs: new Set(['kid-1']) }) };
    expect(says(absent, 'RevocationEffective')).to.match(
      /^False RevocationPending: no replica serves revoked key kid-1/,
    );
  });

  it('is not reported as complete while the API server refuses every write of the LtiKey', () => {
    const situation = aSituation({
      registration: applied(revoking),
      ledger: corrupt,
      ltiKeys: showing([active]),
      refused: refused('showKey canvas-1', 'removeKey canvas-1'),
    });
    expect(done(situation)).to.deep.equal([]);
    expect(says(situation, 'RevocationEffective')).to.match(/^False RevokedKeyStillServed/);
  });

  it('leaves no revoked key in the status after their LtiKeys were deleted, and does not call them unknown', () => {
    const situation = aSituation({
      registration: applied(all, { status }),
      ledger: corrupt,
      ltiKeys: showing([aKey(3, 'Retiring')]),
      refused: refused('showKey canvas-1', 'showKey canvas-2'),
    });
    const written = decide(situation).status;
    expect(written).to.not.have.any.keys('activeKey', 'nextKey');
    expect(says(situation, 'Ready')).to.match(/^False WriteRefused/);
    expect(says(situation, 'ActionRequired')).to.match(/^False NoActionRequired/);
    expect(says(situation, 'RevocationEffective')).to.match(/^False RevokedKeyStillServed/);
    const later = { ...situation, registration: applied(all, { status: written! }) };
    expect(says(later, 'ActionRequired')).to.match(/the ledger, which may have the key, cannot be used/);
    expect(says(later, 'RevocationEffective')).to.match(
      /^False RevokedKeyStillServed: .*kid-1.*no replica was checked/,
    );
    const observation = anObservation([], { absentKeyIDs: new Set(['kid-1', 'kid-2']) });
    const lost = {
      ...later,
      observation,
      ledger: { kind: 'absent', trace: 'its status names them' },
      ltiKeys: [],
    } as const;
    for (const one of [{ ...later, observation }, lost])
      expect(says(one, 'RevocationEffective')).to.match(/^False RevocationPending: .*kid-1/);
  });
});

describe('A registration with a readable ledger that it cannot use, because its issuer changed', () => {
  const changed = (spec: Spec, more: Parameters<typeof applied>[1] = {}): Situation['registration'] =>
    applied({ ...spec, issuer: 'https://other.example' }, more);

  it('says that no key has a mistyped revoked key ID, and reports no revocation', () => {
    const registration = changed({ revokedKeyIDs: ['kid-l'] });
    const situation = aSituation({
      registration,
      observation: anObservation(['kid-1'], { absentKeyIDs: new Set(['kid-l']) }),
    });
    expect(says(situation, 'Stalled')).to.match(/^True IssuerChanged/);
    expect(says(situation, 'ActionRequired')).to.match(/^True UnknownRevokedKeyID: .*the registration has no such key/);
    expect(says(situation, 'RevocationEffective')).to.equal('nothing');
  });

  it('keeps what the status says of a revocation that is over, although its key is no longer looked for', () => {
    const over = {
      ledger: present([
        aKey(1, 'Revoked', { revokedAt: epoch - 2 * day, absentAt: epoch - 2 * day }),
        aKey(2, 'Active'),
      ]),
    };
    const before = aSituation({ ...over, registration: applied(revoking) });
    const was = says(before, 'RevocationEffective');
    expect(was).to.match(/^\w+ Revocation(Effective|Pending)/);
    const after = aSituation({ ...over, registration: changed(revoking, { status: decide(before).status! }) });
    expect(says(after, 'Stalled')).to.match(/^True IssuerChanged/);
    expect(says(after, 'RevocationEffective')).to.equal(was);
  });
});

describe('A registration without an issuer', () => {
  const { spec, ...rest } = anLtiRegistration(delivered);
  const { issuer: known, ...withoutIssuerYet } = spec;
  const object: LtiRegistration = { ...rest, spec: withoutIssuerYet };
  const unknown = { kind: 'present', object, registration: readRegistration(object) } as const;
  const { issuer: _, ...withoutIssuer } = aLedger([active], withSecret);

  it('A registration without an issuer gets its first key, and the ledger has no issuer', () => {
    const fresh = aSituation({ registration: unknown, ledger: { kind: 'absent' }, ltiKeys: [] });
    expect(done(fresh)).to.deep.equal(['generate']);
    const [write] = decide({ ...fresh, pair: { facts: keyFacts('kid-1'), kekID: 'kek-1' } }).effects;
    expect((write as Extract<Effect, { kind: 'writeLedger' }>).ledger).to.not.have.any.keys('issuer');
  });

  it('A registration without an issuer delivers its key and says which step is missing, without a stall', () => {
    const situation = aSituation({ registration: unknown, ledger: { kind: 'present', ledger: withoutIssuer } });
    expect(done(situation)).to.deep.equal(['deliver signing kid-1']);
    expect(says(situation, 'Registered')).to.match(/^False IssuerMissing: register the tool at the platform with/);
    expect(says(situation, 'Stalled')).to.match(/^False NotStalled/);
  });

  it('A registration without an issuer records the issuer once it is set', () => {
    const situation = aSituation({
      registration: applied(delivered),
      ledger: { kind: 'present', ledger: withoutIssuer },
      deliveries: holding,
    });
    const [write] = decide(situation).effects;
    expect((write as Extract<Effect, { kind: 'writeLedger' }>).ledger.issuer).to.equal(known);
  });

  for (const deletionPolicy of ['Retain', 'Delete'] as const) {
    it(`A registration without an issuer neither gets nor destroys the keys of a known issuer that were kept under ${deletionPolicy}`, () => {
      const ledger = present([active], { ...withSecret, deletionPolicy });
      const situation = aSituation({ registration: unknown, ledger, deliveries: holding });
      expect(done(situation).filter((effect) => !effect.startsWith('showKey'))).to.deep.equal([]);
      expect(says(situation, 'Stalled')).to.match(/^True IssuerChanged: .* but spec\.issuer is not set/);
    });
  }
});

describe('Another issuer under the same name', () => {
  const other = applied({ issuer: 'https://other.example.org', ...delivered });

  it('Another issuer does not get the keys that were retained', () => {
    const situation = aSituation({ registration: other, ledger: present([active], withSecret), deliveries: holding });
    expect(done(situation).filter((effect) => !effect.startsWith('showKey'))).to.deep.equal([]);
    expect(says(situation, 'Stalled')).to.match(/^True IssuerChanged: .*https:\/\/platform\.example\.org/);
  });

  it('reports why the keys of a former registration with deletionPolicy Delete cannot be deleted', () => {
    const situation = aSituation({
      registration: other,
      ledger: present([active], { ...withSecret, deletionPolicy: 'Delete' }),
      ltiKeys: showing([aKey(1, 'Retired')]),
      deliveries: holding,
      refused: refused('removeDelivery signing'),
    });
    expect(says(situation, 'Stalled')).to.match(/^True WriteRefused: .*object of removeDelivery signing/);
    expect(says(situation, 'Ready')).to.match(/^False WriteRefused/);
    const fault = { reason: 'DeliverySecretUnreadable', message: 'no' } as const;
    const unreadable = {
      ...situation,
      refused: new Map(),
      deliveries: new Map([['signing', { kind: 'unreadable', fault } as const]]),
    };
    expect(says(unreadable, 'Stalled')).to.match(/^True DeliverySecretUnreadable/);
    expect(decide({ ...situation, refused: new Map() })).to.not.have.any.keys('status');
  });

  it('Another issuer causes the deletion of the keys of a former registration with deletionPolicy Delete', () => {
    const ledger = present([active], { ...withSecret, deletionPolicy: 'Delete' });
    const situation = aSituation({ registration: other, ledger, deliveries: holding });
    expect(done(situation)).to.deep.equal(['showKey canvas-1 Retired']);
    const unpublished = { ...situation, ltiKeys: showing([aKey(1, 'Retired')]) };
    expect(done(unpublished)).to.deep.equal(['removeDelivery signing']);
    expect(done({ ...unpublished, deliveries: new Map([['signing', { kind: 'absent' }]]) })).to.deep.equal([
      'removeLedger',
    ]);
  });
});

describe('A deleted registration', () => {
  const doomed = present([active], { ...withSecret, deletionPolicy: 'Delete' });

  it('A deleted registration is removed in stages that leave no private key behind', () => {
    const situation = aSituation({ registration: gone(), ledger: doomed, deliveries: holding });
    expect(done(situation)).to.deep.equal(['showKey canvas-1 Retired']);
    const rest = { ...situation, ltiKeys: showing([aKey(1, 'Retired')]), ledger: { kind: 'absent' } as const };
    expect(done(rest)).to.deep.equal([`removeKey ${ltiKeyName('canvas', 1)}`]);
  });

  it('loses its delivery Secret, but not its ledger, although every write of its LtiKey is refused', () => {
    const never = refused('showKey canvas-1', 'removeKey canvas-1');
    const situation = aSituation({ registration: gone(), ledger: doomed, deliveries: holding, refused: never });
    expect(done(situation)).to.deep.equal(['removeDelivery signing']);
    expect(done({ ...situation, deliveries: new Map([['signing', { kind: 'absent' }]]) })).to.deep.equal([]);
  });

  it('A deleted registration has no private key in a delivery Secret whose deletion is refused', () => {
    const situation = aSituation({
      registration: gone(),
      ledger: doomed,
      ltiKeys: showing([aKey(1, 'Retired')]),
      deliveries: holding,
      refused: refused('removeDelivery signing'),
    });
    expect(done(situation)).to.include('deliver signing nothing').and.not.include('removeLedger');
    const retained = { ...situation, registration: gone({ ...revoking, deletionPolicy: 'Retain' }) };
    expect(done({ ...retained, ltiKeys: showing([active]) })).to.include('deliver signing nothing');
  });

  it('A deleted registration is removed together with an LtiKey that had no state yet', () => {
    const [shownOne, { status: _, ...stateless }] = showing([active, aKey(2, 'Next')]) as [LtiKey, LtiKey];
    const situation = aSituation({ registration: gone(), ledger: doomed, ltiKeys: [shownOne, stateless] });
    expect(done(situation)).to.deep.equal(['showKey canvas-1 Retired', 'showKey canvas-2 Retired']);
  });

  it('A deleted registration keeps its keys if its last spec had Retain, whatever the ledger recorded', () => {
    const situation = aSituation({ registration: gone({ deletionPolicy: 'Retain' }), ledger: doomed });
    expect(done(situation)).to.deep.equal(['writeLedger', 'showKey canvas-1 Active']);
  });

  it('A deleted registration loses the key that its last spec revoked', () => {
    const situation = aSituation({
      registration: gone({ ...revoking, deletionPolicy: 'Retain' }),
      ledger: present([active], withSecret),
      deliveries: holding,
    });
    expect(done(situation)).to.deep.equal(['showKey canvas-1 Revoked', 'removeDelivery signing', 'writeLedger']);
  });

  for (const [title, ledger, deliveries, refusals] of [
    ['cannot be read', present([aKey(1, 'Revoked', { revokedAt: epoch })], withSecret), 'unreadable', []],
    ['cannot be read, like the ledger', { kind: 'faulty', fault: noKek }, 'unreadable', []],
    [
      'cannot be changed',
      present([aKey(1, 'Revoked', { revokedAt: epoch })], withSecret),
      'ours',
      ['deliver', 'removeDelivery'],
    ],
    [
      'cannot be changed, nor the ledger be read',
      { kind: 'faulty', fault: noKek },
      'ours',
      ['deliver', 'removeDelivery'],
    ],
  ] as const) {
    it(`A deleted registration reports on its LtiKeys a delivery Secret that may have a revoked key and ${title}`, () => {
      const fault = { reason: 'DeliverySecretUnreadable', message: 'Secret gradebook/signing: 403' } as const;
      const situation = aSituation({
        registration: gone({ ...revoking, deletionPolicy: 'Retain' }),
        ledger,
        ltiKeys: showing([aKey(1, 'Revoked', { revokedAt: epoch }), aKey(2, 'Retiring')]),
        deliveries: new Map([['signing', deliveries === 'ours' ? holds('kid-1') : { kind: 'unreadable', fault }]]),
        refused: refused(...refusals.map((kind) => `${kind} signing`)),
      });
      const marks = decide(situation).effects.flatMap((effect) =>
        effect.kind === 'showKey' ? (effect.key.status?.conditions ?? []).map(({ message }) => message) : [],
      );
      expect(marks.join()).to.match(/Secret gradebook\/signing (may )?still holds? .*revoked key.*kid-1/);
    });
  }

  it('A deleted registration keeps all its objects while its ledger cannot be read', () => {
    const fault = { reason: 'LedgerCorrupt', message: 'no' } as const;
    const situation = aSituation({
      registration: gone(),
      ledger: { kind: 'faulty', fault },
      ltiKeys: showing([active]),
    });
    expect(done(situation)).to.deep.equal(['showKey canvas-1 Active']);
    expect(decide(situation).nextCheckAt).to.be.a('number');
  });

  it('A deleted registration reports on its LtiKeys which deletion the API server refuses', () => {
    const situation = aSituation({
      registration: gone(),
      ledger: doomed,
      ltiKeys: showing([aKey(1, 'Retired')]),
      deliveries: new Map(),
      refused: refused('removeLedger'),
    });
    const [effect] = decide(situation).effects.filter(({ kind }) => kind === 'showKey');
    expect(effect).to.have.nested.property('key.status.conditions[0].reason', 'WriteRefused');
  });

  it('A deleted registration that is recreated before its removal is complete is removed completely, and starts again', () => {
    const situation = aSituation({ ledger: { kind: 'absent' }, ltiKeys: showing([aKey(1, 'Retired')]) });
    expect(done(situation)).to.deep.equal(['generate', 'removeKey canvas-1']);
  });

  it('A deleted registration keeps its keys although it had Delete while its CustomResourceDefinition is being deleted', () => {
    const definition = { kind: 'present', createdAt: epoch - hour, isTerminating: true } as const;
    const registration = { kind: 'gone', definition } as const;
    const situation = aSituation({ registration, ledger: doomed, deliveries: holding });
    expect(done(situation)).to.deep.equal(['showKey canvas-1 Active']);
    expect(decide(situation)).to.not.have.any.keys('nextCheckAt');
  });

  it('A deleted registration is checked again after 30 seconds if its CustomResourceDefinition cannot be read', () => {
    const definition = { kind: 'unreadable', because: '403 Forbidden' } as const;
    const registration = { kind: 'gone', definition } as const;
    const situation = aSituation({ registration, ledger: doomed, deliveries: holding });
    expect(decide(situation).nextCheckAt).to.equal(situation.now + 30 * second);
  });

  it('A deleted registration is not changed while its deletion is uncertain', () => {
    expect(done(aSituation({ registration: { kind: 'unknown' }, ledger: doomed }))).to.deep.equal([]);
  });
});

describe('A revocation', () => {
  const revoked = aKey(1, 'Revoked', { revokedAt: epoch });
  const two = {
    registration: applied({ ...revoking, platform: 'Canvas' }),
    ledger: present([revoked, aKey(2, 'Active')]),
  };

  it('A revocation is not effective while a ready replica still serves the key', () => {
    const observation = anObservation(['kid-2'], {
      stillServed: new Map([['kid-1', 'https://10.0.0.2 still serves it']]),
    });
    expect(says(aSituation({ ...two, observation }), 'RevocationEffective')).to.match(
      /^False RevokedKeyStillServed: .*10\.0\.0\.2/,
    );
  });

  it('A revocation is not effective until the announced cache lifetime has passed since no replica serves the key', () => {
    const absent = { ...revoked, absentAt: epoch };
    const observation = anObservation(['kid-2'], { absentKeyIDs: new Set(['kid-1']), cacheLifetime: hour });
    const situation = aSituation({
      ...two,
      ledger: present([absent, aKey(2, 'Active')]),
      observation,
      now: epoch + hour - second,
    });
    expect(says(situation, 'RevocationEffective')).to.match(/^False RevocationPending/);
    expect(says({ ...situation, now: epoch + hour }, 'RevocationEffective')).to.match(/^True RevocationEffective/);
  });

  it('A revocation is effective at Moodle when the key set was fetched without the key, or a user acknowledged it, and then recorded', () => {
    const ledger = present([{ ...revoked, absentAt: epoch }, aKey(2, 'Active')]);
    const observation = anObservation(['kid-2'], { absentKeyIDs: new Set(['kid-1']) });
    const registration = applied({ ...revoking, platform: 'Moodle' });
    const situation = aSituation({ ...two, registration, ledger, observation, now: epoch + hour });
    const fetchedAt = (lastAt: number) => ({ ...situation, fetches: { lastAt, complete: true } });
    expect(says(fetchedAt(epoch), 'RevocationEffective')).to.match(/^Unknown RevocationPending/);
    expect(says(fetchedAt(epoch + minute), 'RevocationEffective')).to.match(/^True RevocationEffective: a client/);
    expect(decide(fetchedAt(epoch + minute)).status?.lastFetchTime).to.equal('2026-03-01T00:01:00Z');
    const annotations = { 'ltikeys.dev/acknowledged-revocations': 'kid-0 kid-1' };
    const bare = anLtiRegistration({ ...revoking, platform: 'Moodle' });
    const object = { ...bare, metadata: { ...bare.metadata, annotations } };
    const acknowledged = { kind: 'present', object, registration: readRegistration(object) } as const;
    expect(says({ ...situation, registration: acknowledged }, 'RevocationEffective')).to.match(
      /as a user acknowledged/,
    );
  });

  it('A revocation records since when no replica serves the key, until one serves it again', () => {
    const observation = anObservation(['kid-2'], { absentKeyIDs: new Set(['kid-1']) });
    const [write] = decide(aSituation({ ...two, observation })).effects;
    expect(write).to.have.nested.property('ledger.keys[0].absentAt', epoch);
    const back = anObservation(['kid-2'], { stillServed: new Map([['kid-1', 'a replica']]) });
    const again = aSituation({
      ...two,
      ledger: present([{ ...revoked, absentAt: epoch }, aKey(2, 'Active')]),
      observation: back,
    });
    expect(decide(again).effects[0]).to.have.nested.property('ledger.keys[0]').that.does.not.have.property('absentAt');
  });

  it('A revocation needs neither a key-encryption key nor a key that can be decrypted', () => {
    const situation = aSituation({
      registration: applied(revoking),
      keyMaterial: new Map([['kid-1', damaged]]),
      sealingFault: noKek,
      now: epoch + hour,
      ledger: present([{ ...active, revocationSeenAt: epoch }]),
    });
    expect(done(situation)).to.deep.equal(['showKey canvas-1 Revoked', 'writeLedger']);
  });

  it('A revocation of a shared key reports which registrations use the same key', () => {
    const situation = aSituation({ ...two, shared: new Map([['kid-1', ['moodle']]]) });
    expect(says(situation, 'RevocationEffective')).to.include('the same key is in use by registration moodle');
  });

  it('A revocation of a signing key while a next key exists causes one rotation', () => {
    const keys = [
      aKey(1, 'Retiring', { stoppedSigningAt: epoch, retireAt: epoch + 48 * hour }),
      aKey(2, 'Active'),
      aKey(3, 'Next', { cause: 'Schedule' }),
    ];
    const situation = aSituation({
      registration: applied({ revokedKeyIDs: ['kid-2'] }),
      ledger: present(keys),
      observation: anObservation(['kid-1', 'kid-2']),
    });
    const write = decide(situation).effects.find(({ kind }) => kind === 'writeLedger');
    expect(write).to.have.nested.property('ledger.activeKeyID', 'kid-1');
    expect(write).to.have.property('ledger').that.does.not.have.property('rotationOwed');
    expect(write).to.have.nested.property('ledger.keys[2].cause', 'Revocation');
  });
});

describe('A delivery Secret that another one replaced', () => {
  const renamed = { registration: applied({ delivery: { secretName: 'new' } }) };
  const left = { deliveries: [{ secretName: 'old', leftAt: epoch }, { secretName: 'new' }] };
  const common = { ...renamed, ledger: present([active], left) };
  const both = new Map([
    ['new', holds('kid-1')],
    ['old', holds('kid-1')],
  ]);

  it('A replaced delivery Secret is kept until the overlap ends', () => {
    expect(done(aSituation({ ...common, deliveries: both, now: epoch + hour }))).to.not.include('removeDelivery old');
    expect(done(aSituation({ ...common, deliveries: both, now: epoch + 48 * hour }))).to.include('removeDelivery old');
  });

  it('A replaced delivery Secret loses its key if it cannot be deleted after the overlap', () => {
    const late = aSituation({
      ...common,
      deliveries: both,
      now: epoch + 48 * hour,
      refused: refused('removeDelivery old'),
    });
    expect(done(late)).to.include('deliver old nothing');
  });

  it('A replaced delivery Secret loses a revoked key at once', () => {
    const ledger = present([aKey(1, 'Revoked', { revokedAt: epoch }), aKey(2, 'Active')], left);
    const deliveries = new Map([
      ['new', holds('kid-2')],
      ['old', holds('kid-1')],
    ]);
    expect(done(aSituation({ ...common, ledger, deliveries }))).to.include('deliver old nothing');
  });

  it('A replaced delivery Secret loses a revoked key even if the recipient of the new one cannot be used', () => {
    const situation = aSituation({
      registration: applied({ ...revoking, ...delivered }),
      ledger: present([aKey(1, 'Revoked', { revokedAt: epoch }), aKey(2, 'Active')], withSecret),
      deliveries: holding,
      recipient: { reason: 'DeliveryRecipientInvalid', message: 'no' },
    });
    expect(done(situation)).to.include('deliver signing nothing');
  });
});

describe('A skewed clock', () => {
  it('A skewed clock does not decide which keys of a former system have expired', () => {
    const imports = { signing: keyFacts('kid-1'), verifyOnly: [{ ...keyFacts('kid-0'), until: epoch + 48 * hour }] };
    const pair = { facts: keyFacts('kid-1'), kekID: 'kek-1' };
    const fresh = aSituation({ ledger: { kind: 'absent' }, ltiKeys: [], imports, pair, clockSkew: 72 * hour });
    expect(done(fresh)).to.deep.equal([]);
    expect(says(fresh, 'Stalled')).to.match(/^True ClockSkewed/);
    expect(done({ ...fresh, clockSkew: 0 })).to.include('writeLedger');
  });
});
