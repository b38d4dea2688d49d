import { expect } from 'chai';
import { day, hour, minute, second } from '../../../src/domain/duration.ts';
import { plan } from '../../../src/domain/key-plan.ts';
import { causeForNewKey, withNewKey } from '../../../src/domain/key-generation.ts';
import { emptyLedger, type KeyFacts } from '../../../src/domain/ledger.ts';
import type { ImportState, Lifecycle } from '../../../src/domain/situation.ts';
import { nextRotationTime, preparationTime } from '../../../src/domain/timing.ts';
import { aKey, aLedger, epoch, keyFacts } from '../../builders/ledger.ts';
import { aRegistration } from '../../builders/registration.ts';
import { aLifecycle, damaged, noKek, opens } from '../../builders/situation.ts';

const active = aKey(1, 'Active');
const signs = aLedger([active]);
const due = preparationTime(active, aRegistration());
const revoking = aRegistration({ revokedKeyIDs: new Set(['kid-1']) });
const none = emptyLedger('gradebook', 'canvas');
const imports: ImportState = { signing: keyFacts('former'), verifyOnly: [] };
const damagedActive = { keyMaterial: new Map([['kid-1', damaged]]) };

describe('A new revision', () => {
  const cases: readonly (readonly [string, Lifecycle, string | undefined])[] = [
    ['for a new registration', aLifecycle({ ledger: none }), 'Initial'],
    [
      'for a registration that is suspended from the beginning',
      aLifecycle({ ledger: none, registration: aRegistration({ suspend: true }) }),
      'Initial',
    ],
    ['from the key of a former system', aLifecycle({ ledger: none, imports }), 'Import'],
    ['where nothing signs or waits any more', aLifecycle({ ledger: aLedger([aKey(1, 'Revoked')]) }), 'Revocation'],
    ['where every record of a key is gone', aLifecycle({ ledger: aLedger([], { highestRevision: 3 }) }), 'Revocation'],
    ['not while one waits already', aLifecycle({ ledger: aLedger([active, aKey(2, 'Next')]), now: due }), undefined],
    [
      'for a revoked signing key, even while suspended',
      aLifecycle({ registration: { ...revoking, suspend: true } }),
      'Revocation',
    ],
    [
      'not for a revoked signing key that a Retiring key replaces',
      aLifecycle({
        ledger: aLedger([aKey(1, 'Retiring'), aKey(2, 'Active')]),
        registration: aRegistration({ revokedKeyIDs: new Set(['kid-2']) }),
      }),
      undefined,
    ],
    ['for a rotation that is owed', aLifecycle({ ledger: { ...signs, rotationOwed: 'Trigger' } }), 'Trigger'],
    [
      'not for an owed rotation while the registration is suspended',
      aLifecycle({ ledger: { ...signs, rotationOwed: 'Revocation' }, registration: aRegistration({ suspend: true }) }),
      undefined,
    ],
    ['for another size', aLifecycle({ registration: aRegistration({ keySize: 3072 }) }), 'KeySize'],
    [
      'for an imported key that is smaller than spec.key.size',
      aLifecycle({
        ledger: aLedger([aKey(1, 'Active', { cause: 'Import' })]),
        registration: aRegistration({ keySize: 3072 }),
      }),
      'KeySize',
    ],
    [
      'not for an imported key that is larger than spec.key.size',
      aLifecycle({ ledger: aLedger([aKey(1, 'Active', { cause: 'Import', size: 3072 })]) }),
      undefined,
    ],
    [
      'not for another spec.key.size while the registration is suspended',
      aLifecycle({ registration: aRegistration({ keySize: 3072, suspend: true }) }),
      undefined,
    ],
    ['for a changed trigger', aLifecycle({ registration: aRegistration({ rotationTrigger: 'b' }) }), 'Trigger'],
    [
      'not for a trigger that was answered',
      aLifecycle({
        ledger: { ...signs, observedRotationTrigger: 'b' },
        registration: aRegistration({ rotationTrigger: 'b' }),
      }),
      undefined,
    ],
    [
      'not for a trigger that was removed',
      aLifecycle({ ledger: { ...signs, observedRotationTrigger: 'b' } }),
      undefined,
    ],
    ['for a request', aLifecycle({ registration: aRegistration({ rotateRequest: 'now' }) }), 'Request'],
    [
      'not for a request that was answered',
      aLifecycle({
        ledger: { ...signs, observedRotateRequest: 'now' },
        registration: aRegistration({ rotateRequest: 'now' }),
      }),
      undefined,
    ],
    ['for the schedule, early enough', aLifecycle({ now: due }), 'Schedule'],
    ['not for the schedule a millisecond earlier', aLifecycle({ now: due - 1 }), undefined],
    ['not for the schedule while an inequality is broken', aLifecycle({ now: due, cacheLifetime: day }), undefined],
  ];
  for (const [when, situation, cause] of cases) {
    it(when, () => {
      expect(causeForNewKey(situation)).to.equal(cause);
      const { transitions, generate } = plan(situation);
      if (transitions.length === 0) expect(generate?.cause).to.equal(cause);
    });
  }

  it('A new revision has the size of spec.key.size', () => {
    const registration = aRegistration({ keySize: 4096 });
    expect(plan(aLifecycle({ ledger: none, registration })).generate).to.deep.equal({ cause: 'Initial', size: 4096 });
  });

  const obstacles: readonly (readonly [string, Partial<Lifecycle>, string])[] = [
    ['nothing can be sealed', { sealingFault: noKek }, 'KEKMissing'],
    ['a key of the ledger does not open', damagedActive, 'SealTampered'],
  ];
  for (const [what, more, reason] of obstacles) {
    it(`A new revision is not created while ${what}, and the fault is reported and checked again`, () => {
      const decision = plan(aLifecycle({ now: due, ...more }));
      expect(decision).not.to.have.property('generate');
      expect(decision.generationFault).to.include({ reason });
      expect(decision.nextCheckAt).to.equal(due + 30 * second);
    });
  }

  it('A new revision is created if only the revoked key cannot be decrypted', () => {
    expect(plan(aLifecycle({ registration: revoking, ...damagedActive })).generate).to.include({ cause: 'Revocation' });
  });

  it('A new revision is not created in place of a key that cannot be imported', () => {
    const fault = { reason: 'ImportNotGranted', message: 'the Secret grants nothing' } as const;
    const decision = plan(aLifecycle({ ledger: none, imports: { signing: fault, verifyOnly: [] } }));
    expect(decision).not.to.have.property('generate');
    expect(decision.generationFault).to.equal(fault);
  });
});

describe('The ledger with a new key', () => {
  it('The ledger with a new key has the next serial, and with the first key the settings of the registration', () => {
    const registration = aRegistration({
      deletionPolicy: 'Delete',
      deliverySecretName: 'signing',
      rotationTrigger: 'a',
    });
    const ledger = withNewKey(aLifecycle({ ledger: none, registration }), keyFacts('a'), 'Initial');
    expect(ledger).to.deep.include({
      serial: 1,
      highestRevision: 1,
      deletionPolicy: 'Delete',
      deliveries: [{ secretName: 'signing' }],
      observedRotationTrigger: 'a',
    });
    expect(ledger.keys).to.have.length(1);
  });

  it('The ledger with a new key answers the trigger, the request and an owed rotation', () => {
    const registration = aRegistration({ rotationTrigger: 'b', rotateRequest: 'now' });
    const ledger = withNewKey(
      aLifecycle({ ledger: { ...signs, rotationOwed: 'Revocation' }, registration }),
      keyFacts('a'),
      'Trigger',
    );
    expect(ledger).to.include({ serial: 8, observedRotationTrigger: 'b', observedRotateRequest: 'now' });
    expect(ledger).not.to.have.property('rotationOwed');
    expect(causeForNewKey(aLifecycle({ ledger, registration }))).to.equal(undefined);
  });

  it('The ledger with a new key has the public keys of a former system as Retiring, except expired and duplicate ones', () => {
    const verifyOnly = [
      { ...keyFacts('old'), until: epoch + day },
      { ...keyFacts('over'), until: epoch },
      { ...keyFacts('former'), until: epoch + day },
    ];
    const facts = imports.signing as KeyFacts;
    const ledger = withNewKey(aLifecycle({ ledger: none, imports: { ...imports, verifyOnly } }), facts, 'Import');
    expect(ledger.keys.map(({ keyID, state, revision }) => [keyID, state, revision])).to.deep.equal([
      ['former', 'Next', 1],
      ['old', 'Retiring', 2],
    ]);
    expect(ledger.keys[1]).to.include({ verifyOnly: true, retireAt: epoch + day });
  });
});

describe('Resealing', () => {
  it('Keys are resealed if they can be decrypted and are sealed under another key-encryption key than the present one', () => {
    const ledger = aLedger([active, aKey(2, 'Next', { publishedAt: epoch }), aKey(3, 'Revoked')]);
    const keyMaterial = new Map([
      ['kid-1', opens],
      ['kid-2', { opens: true, kekID: 'kek-2' } as const],
    ]);
    expect(plan(aLifecycle({ ledger, keyMaterial, sealingKekID: 'kek-2' })).reseal).to.deep.equal(['kid-1']);
    expect(plan(aLifecycle({ ledger, keyMaterial })).reseal).to.deep.equal([]);
    expect(plan(aLifecycle({ ...damagedActive, sealingKekID: 'kek-2' })).reseal).to.deep.equal([]);
  });

  it('Keys are resealed only once nothing is left to write', () => {
    const registration = aRegistration({ deletionPolicy: 'Delete' });
    expect(plan(aLifecycle({ registration, sealingKekID: 'kek-2' })).reseal).to.deep.equal([]);
  });
});

describe('The next check', () => {
  const requested = aKey(2, 'Next', { cause: 'Trigger', publishedAt: epoch });
  const retiring = aKey(1, 'Retiring', { stoppedSigningAt: epoch, retireAt: epoch + 2 * day });
  const delivered = aRegistration({ deliverySecretName: 'signing' });
  const recorded = aLedger([active], { deliveries: [{ secretName: 'signing' }] });
  const held = aRegistration({ suspend: true });
  const waiting = aLedger([active, aKey(2, 'Next')]);
  const cases: readonly (readonly [string, Lifecycle, number | undefined])[] = [
    ['at the preparation of the next rotation', aLifecycle(), due],
    ['at the activation of a requested key', aLifecycle({ ledger: aLedger([active, requested]) }), epoch + day],
    [
      'on the day of a scheduled rotation',
      aLifecycle({ ledger: aLedger([active, aKey(2, 'Next', { publishedAt: epoch })]) }),
      nextRotationTime(active, aRegistration()),
    ],
    ['at a retirement', aLifecycle({ ledger: aLedger([retiring, aKey(2, 'Active')]) }), epoch + 2 * day],
    [
      'at the end of the grace period of a revoked key',
      aLifecycle({ ledger: aLedger([{ ...active, revocationSeenAt: epoch }]), registration: revoking }),
      epoch + 20 * second,
    ],
    [
      'not scheduled while the registration is suspended',
      aLifecycle({ ledger: aLedger([retiring, aKey(2, 'Active')]), registration: held }),
      undefined,
    ],
    [
      'not scheduled for a key that waits for its acknowledgement',
      aLifecycle({ ledger: aLedger([active, requested]), registration: aRegistration({ keyDistribution: 'Manual' }) }),
      undefined,
    ],
    [
      'at the activation of a key that waits for a fetch',
      aLifecycle({ ledger: aLedger([active, requested]), registration: aRegistration({ activation: 'AfterFetch' }) }),
      epoch + day,
    ],
    [
      'not scheduled while a key that is due waits for a fetch, which enqueues the registration',
      aLifecycle({
        ledger: aLedger([active, requested]),
        registration: aRegistration({ activation: 'AfterFetch' }),
        now: epoch + day,
      }),
      undefined,
    ],
    ['4 s after a new key was created', aLifecycle({ ledger: waiting, served: ['kid-1'] }), epoch + 4 * second],
    [
      'not repeated while that key is not served: replicas are polled anyway',
      aLifecycle({ ledger: waiting, served: ['kid-1'], now: epoch + 4 * second }),
      undefined,
    ],
    [
      'not scheduled for that key if the clock was set back',
      aLifecycle({ ledger: waiting, served: ['kid-1'], now: epoch - 4 * minute }),
      undefined,
    ],
    [
      'not scheduled for a rotation that is due and waits for replicas',
      aLifecycle({ ledger: aLedger([active, requested]), served: ['kid-1'], now: epoch + 2 * day }),
      undefined,
    ],
    [
      'not scheduled for a key that replicas must serve before it is delivered',
      aLifecycle({ ledger: recorded, registration: delivered, served: [] }),
      due,
    ],
    ['in a minute while the clock is wrong', aLifecycle({ clockSkew: hour }), epoch + minute],
    [
      'in 30 s for a step that is due and blocked',
      aLifecycle({
        ledger: aLedger([active, requested]),
        now: epoch + day,
        served: ['kid-1', 'kid-2'],
        keyMaterial: new Map([['kid-1', opens]]),
      }),
      epoch + day + 30 * second,
    ],
    [
      'in 30 s while the delivery Secret does not hold the signing key, because Secrets are not watched',
      aLifecycle({ ledger: recorded, registration: delivered }),
      epoch + 30 * second,
    ],
    [
      'at the usual time once the delivery Secret holds the signing key',
      aLifecycle({ ledger: recorded, registration: delivered, delivery: { keyID: 'kid-1', leftovers: [] } }),
      due,
    ],
  ];
  for (const [when, situation, time] of cases) {
    it(`The next check is ${when}`, () => {
      const decision = plan(situation);
      expect(decision.transitions).to.deep.equal([]);
      expect(decision.nextCheckAt).to.equal(time);
    });
  }
});

describe('A plan', () => {
  it('A plan is the same for the same situation, and changes nothing in its own result', () => {
    const ledger = aLedger([
      aKey(1, 'Retiring', { retireAt: epoch }),
      aKey(2, 'Active'),
      aKey(3, 'Next', { cause: 'Trigger' }),
    ]);
    const situation = aLifecycle({ ledger, now: epoch + 9 * day });
    const decision = plan(situation);
    expect(plan(situation)).to.deep.equal(decision);
    expect(decision.transitions).not.to.have.length(0);
    const again = plan({ ...situation, ledger: decision.ledger });
    expect(again.transitions).to.deep.equal([]);
    expect(again.ledger).to.equal(decision.ledger);
  });

  it('A plan raises the serial by one, whatever the number of steps', () => {
    const situation = aLifecycle({
      ledger: aLedger([aKey(1, 'Next')]),
      registration: aRegistration({ deletionPolicy: 'Delete' }),
    });
    const decision = plan(situation);
    expect(decision.transitions.map(({ reason }) => reason)).to.deep.equal([
      'KeyPublished',
      'KeyActivated',
      'SettingsRecorded',
    ]);
    expect(decision.ledger.serial).to.equal(8);
  });

  it('A plan has one rotation after a jump over several periods', () => {
    const situation = aLifecycle({ now: epoch + 900 * day });
    const ledger = withNewKey(situation, keyFacts('kid-2'), plan(situation).generate!.cause);
    const published = plan(aLifecycle({ ledger, now: epoch + 900 * day }));
    const rotated = plan(aLifecycle({ ledger: published.ledger, now: epoch + 901 * day }));
    expect(rotated.ledger.keys.map(({ state }) => state)).to.deep.equal(['Retiring', 'Active']);
    expect(rotated).not.to.have.property('generate');
  });
});
