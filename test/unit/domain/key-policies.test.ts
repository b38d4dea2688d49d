import type { KeyMaterial, Lifecycle } from '../../../src/domain/situation.ts';
import { expect } from 'chai';
import { day, hour, minute, second } from '../../../src/domain/duration.ts';
import { plan } from '../../../src/domain/key-plan.ts';
import { policies } from '../../../src/domain/key-policies.ts';
import { activeKey, type KeyChange } from '../../../src/domain/ledger.ts';
import { nextRotationTime } from '../../../src/domain/timing.ts';
import { aKey, aLedger, epoch } from '../../builders/ledger.ts';
import { aRegistration } from '../../builders/registration.ts';
import { aLifecycle, damaged, opens } from '../../builders/situation.ts';

/** One case per policy and per condition that blocks it: the transitions, and the states of the keys afterwards. */
interface Case {
  readonly when: string;
  readonly situation: Lifecycle;
  /** The reason of each transition, with its message if it has one. */
  readonly told: readonly string[];
  readonly states?: readonly string[];
  /** Fields of one row afterwards; `undefined`: it has no such field. */
  readonly key?: readonly [revision: number, KeyChange];
}

const active = aKey(1, 'Active');
const retiring = aKey(1, 'Retiring', { stoppedSigningAt: epoch, retireAt: epoch + 2 * day });
const second2 = aKey(2, 'Active');
const requested = aKey(2, 'Next', { cause: 'Trigger', publishedAt: epoch });
const scheduled = aKey(2, 'Next', { publishedAt: epoch });
const rotating = aLedger([active, requested]);
const retirement = aLedger([retiring, second2]);
const rotationDay = nextRotationTime(active, aRegistration());
const revoking = (...revisions: number[]) =>
  aRegistration({ revokedKeyIDs: new Set(revisions.map((revision) => `kid-${revision}`)) });
const manual = (acknowledgedKeyID?: string) =>
  aRegistration({ keyDistribution: 'Manual', ...(acknowledgedKeyID ? { acknowledgedKeyID } : {}) });
const afterFetch = (more: object = {}) => aRegistration({ activation: 'AfterFetch', ...more });
const fetchedBefore = { lastAt: epoch - 1, complete: true };
const delivered = (more: object = {}) => aRegistration({ deliverySecretName: 'signing', ...more });
const left = { deliveries: [{ secretName: 'signing', leftAt: epoch }] };
const names = { deliveries: [{ secretName: 'signing' }] };

const signs = 'KeyActivated: key kid-2 is now the signing key: it replaces key kid-1';
const stops = 'KeyRetiring';
const retired =
  'KeyRetired: the overlap of key kid-1 ended: it is no longer published, and its private key was destroyed';

const rules: Readonly<Record<string, readonly Case[]>> = {
  'A revoked key that does not sign': [
    {
      when: 'leaves at once if it is Next, and its rotation is owed',
      situation: aLifecycle({ ledger: rotating, registration: revoking(2) }),
      told: ['KeyRevoked: key kid-2 was revoked and its private key destroyed: it was not the signing key'],
      states: ['Active', 'Revoked'],
      key: [2, { revokedAt: epoch }],
    },
    {
      when: 'leaves at once if it is Retiring, even while suspended and with a skewed clock',
      situation: aLifecycle({
        ledger: retirement,
        registration: { ...revoking(1), suspend: true },
        clockSkew: hour,
        served: [],
      }),
      told: ['KeyRevoked: key kid-1 was revoked and its private key destroyed: it was not the signing key'],
      states: ['Revoked', 'Active'],
    },
    {
      when: 'does not change if it is Retired',
      situation: aLifecycle({ ledger: aLedger([aKey(1, 'Retired'), second2]), registration: revoking(1) }),
      told: [],
      states: ['Retired', 'Active'],
    },
  ],
  'A revoked signing key': [
    {
      when: 'is replaced by a served next key before its activation delay ends',
      situation: aLifecycle({ ledger: rotating, registration: revoking(1) }),
      told: [
        'KeyRevoked: key kid-1 was revoked and its private key destroyed: key kid-2 replaces it',
        'KeyActivated: key kid-2 is now the signing key: it replaces revoked key kid-1',
      ],
      states: ['Revoked', 'Active'],
    },
    {
      when: 'is replaced by a next key that no client has fetched, also if activation is AfterFetch',
      situation: aLifecycle({
        ledger: rotating,
        registration: afterFetch({ revokedKeyIDs: new Set(['kid-1']) }),
        fetches: fetchedBefore,
      }),
      told: [
        'KeyRevoked: key kid-1 was revoked and its private key destroyed: key kid-2 replaces it',
        'KeyActivated: key kid-2 is now the signing key: it replaces revoked key kid-1',
      ],
      states: ['Revoked', 'Active'],
    },
    {
      when: 'is replaced by a served Retiring key if there is no next key',
      situation: aLifecycle({ ledger: retirement, registration: revoking(2) }),
      told: [
        'KeyRevoked: key kid-2 was revoked and its private key destroyed: key kid-1 replaces it',
        'KeyActivated: key kid-1 is now the signing key: it replaces revoked key kid-2',
      ],
      states: ['Active', 'Revoked'],
      key: [1, { activatedAt: epoch, stoppedSigningAt: undefined, retireAt: undefined }],
    },
    {
      when: 'is replaced by a Retiring key if the next key is not served',
      situation: aLifecycle({
        ledger: aLedger([retiring, second2, aKey(3, 'Next')]),
        registration: revoking(2),
        served: ['kid-1', 'kid-2'],
      }),
      told: [
        'KeyRevoked: key kid-2 was revoked and its private key destroyed: key kid-1 replaces it',
        'KeyActivated: key kid-1 is now the signing key: it replaces revoked key kid-2',
      ],
      states: ['Active', 'Revoked', 'Next'],
    },
    {
      when: 'is not replaced by an unacknowledged next key, and its grace period starts',
      situation: aLifecycle({
        ledger: rotating,
        registration: { ...manual(), revokedKeyIDs: new Set(['kid-1']) },
      }),
      told: [
        'KeyRevoked: signing key kid-1 is being revoked: it stays published until a replacement is published, but at most 20s',
      ],
      states: ['Active', 'Next'],
      key: [1, { revocationSeenAt: epoch }],
    },
    {
      when: 'is not replaced by a key that cannot be decrypted, nor by another revoked key',
      situation: aLifecycle({
        ledger: rotating,
        registration: revoking(1),
        keyMaterial: new Map<string, KeyMaterial>([
          ['kid-1', opens],
          ['kid-2', damaged],
        ]),
      }),
      told: [
        'KeyRevoked: signing key kid-1 is being revoked: it stays published until a replacement is published, but at most 20s',
      ],
      states: ['Active', 'Next'],
    },
    {
      when: 'stays during its grace period',
      situation: aLifecycle({
        ledger: aLedger([{ ...active, revocationSeenAt: epoch }]),
        registration: revoking(1),
        now: epoch + 20 * second - 1,
      }),
      told: [],
      states: ['Active'],
    },
    {
      when: 'leaves at the end of its grace period, with or without a replacement',
      situation: aLifecycle({
        ledger: aLedger([{ ...active, revocationSeenAt: epoch }]),
        registration: revoking(1),
        now: epoch + 20 * second,
      }),
      told: ['KeyRevoked: key kid-1 was revoked and its private key destroyed: no replacement was published in time'],
      states: ['Revoked'],
    },
    {
      when: 'has no second grace period if the clock was set back',
      situation: aLifecycle({
        ledger: aLedger([{ ...active, revocationSeenAt: epoch }]),
        registration: revoking(1),
        now: epoch - 4 * minute,
      }),
      told: ['KeyRevoked: key kid-1 was revoked and its private key destroyed: no replacement was published in time'],
      states: ['Revoked'],
    },
    {
      when: 'continues to sign if the revocation is withdrawn, and a later one has its whole grace period',
      situation: aLifecycle({ ledger: aLedger([{ ...active, revocationSeenAt: epoch }]), now: epoch + hour }),
      told: ['SettingsRecorded'],
      states: ['Active'],
      key: [1, { revocationSeenAt: undefined }],
    },
  ],
  'A key that every ready replica serves': [
    {
      when: 'is recorded as published, once',
      situation: aLifecycle({ ledger: aLedger([active, aKey(2, 'Next')]), now: epoch + 9 }),
      told: ['KeyPublished'],
      key: [2, { publishedAt: epoch + 9 }],
    },
    {
      when: 'is not recorded a second time',
      situation: aLifecycle({ ledger: aLedger([active, scheduled]), now: epoch + 9 }),
      told: [],
      key: [2, { publishedAt: epoch }],
    },
    {
      when: 'is not recorded with a skewed clock, whose time would shorten the delay',
      situation: aLifecycle({ ledger: aLedger([active, aKey(2, 'Next')]), clockSkew: -5 * minute - 1 }),
      told: [],
      key: [2, { publishedAt: undefined }],
    },
    {
      when: 'is recorded with a clock that differs by no more than the tolerance',
      situation: aLifecycle({ ledger: aLedger([active, aKey(2, 'Next')]), clockSkew: -5 * minute }),
      told: ['KeyPublished'],
    },
    {
      when: 'is not recorded if one replica does not serve it',
      situation: aLifecycle({ ledger: aLedger([active, aKey(2, 'Next')]), served: ['kid-1'] }),
      told: [],
    },
  ],
  'The first key': [
    {
      when: 'signs as soon as it is served, without a delay',
      situation: aLifecycle({ ledger: aLedger([aKey(1, 'Next')]) }),
      told: [
        'KeyPublished',
        'KeyActivated: key kid-1 is now the signing key: every ready replica serves it, and the registration had no signing key',
      ],
      states: ['Active'],
      key: [1, { publishedAt: epoch, activatedAt: epoch }],
    },
    {
      when: 'signs without an acknowledgement, because there is no other key',
      situation: aLifecycle({ ledger: aLedger([aKey(1, 'Next', { publishedAt: epoch })]), registration: manual() }),
      told: [
        'KeyActivated: key kid-1 is now the signing key: every ready replica serves it, and the registration had no signing key',
      ],
    },
    {
      when: 'signs without a fetch if activation is AfterFetch, because no client can have fetched it',
      situation: aLifecycle({
        ledger: aLedger([aKey(1, 'Next', { publishedAt: epoch })]),
        registration: afterFetch(),
        fetches: fetchedBefore,
      }),
      told: [
        'KeyActivated: key kid-1 is now the signing key: every ready replica serves it, and the registration had no signing key',
      ],
    },
    {
      when: 'does not sign while a replica does not serve it',
      situation: aLifecycle({ ledger: aLedger([aKey(1, 'Next', { publishedAt: epoch })]), served: [] }),
      told: [],
    },
    {
      when: 'does not sign while it cannot be decrypted',
      situation: aLifecycle({
        ledger: aLedger([aKey(1, 'Next', { publishedAt: epoch })]),
        keyMaterial: new Map([['kid-1', damaged]]),
      }),
      told: [],
    },
    {
      when: 'does not sign while the clock is skewed',
      situation: aLifecycle({ ledger: aLedger([aKey(1, 'Next', { publishedAt: epoch })]), clockSkew: 5 * minute + 1 }),
      told: [],
    },
    {
      when: 'after a revocation waits for its acknowledgement',
      situation: aLifecycle({
        ledger: aLedger([aKey(1, 'Revoked'), aKey(2, 'Next', { cause: 'Revocation', publishedAt: epoch })]),
        registration: manual(),
      }),
      told: [],
    },
  ],
  'A request for a rotation': [
    {
      when: 'is answered by the present next key, which no longer waits for its scheduled day',
      situation: aLifecycle({
        ledger: aLedger([active, scheduled], { observedRotationTrigger: 'a' }),
        registration: aRegistration({ rotationTrigger: 'b', rotateRequest: 'now' }),
      }),
      told: [
        'RotationRequested: a rotation was requested: key kid-2, which is already the next key, answers the request',
      ],
      key: [2, { cause: 'Trigger' }],
    },
    {
      when: 'does not change the cause of a key that was not scheduled',
      situation: aLifecycle({
        ledger: aLedger([active, aKey(2, 'Next', { cause: 'Revocation', publishedAt: epoch })]),
        registration: aRegistration({ rotateRequest: 'now' }),
      }),
      told: [
        'RotationRequested: a rotation was requested: key kid-2, which is already the next key, answers the request',
      ],
      key: [2, { cause: 'Revocation' }],
    },
    {
      when: 'waits while the registration is suspended',
      situation: aLifecycle({
        ledger: aLedger([active, scheduled]),
        registration: aRegistration({ rotationTrigger: 'b', suspend: true }),
      }),
      told: [],
    },
    {
      when: 'has no effect if it was answered or removed',
      situation: aLifecycle({
        ledger: aLedger([active, scheduled], { observedRotationTrigger: 'a', observedRotateRequest: 'now' }),
        registration: aRegistration({ rotateRequest: 'now' }),
      }),
      told: [],
    },
  ],
  'A next key of another size': [
    {
      when: 'is discarded',
      situation: aLifecycle({ ledger: rotating, registration: aRegistration({ keySize: 4096 }) }),
      told: [
        'NextKeyDiscarded: key kid-2 was discarded before it signed: it has 2048 bits, and spec.key.size is now 4096',
      ],
      states: ['Active', 'Retired'],
      key: [2, { retiredAt: epoch }],
    },
    {
      when: 'is kept while the registration is suspended',
      situation: aLifecycle({ ledger: rotating, registration: aRegistration({ keySize: 4096, suspend: true }) }),
      told: [],
    },
    {
      when: 'is kept if it was imported, even if no replica serves it yet',
      situation: aLifecycle({ ledger: aLedger([aKey(1, 'Next', { cause: 'Import', size: 3072 })]), served: [] }),
      told: [],
    },
  ],
  'A rotation': [
    {
      when: 'happens at the end of the activation delay',
      situation: aLifecycle({ ledger: rotating, now: epoch + day }),
      told: [signs, stops],
      states: ['Retiring', 'Active'],
      key: [2, { activatedAt: epoch + day }],
    },
    {
      when: 'does not happen before the end of the activation delay',
      situation: aLifecycle({ ledger: rotating, now: epoch + day - 1 }),
      told: [],
    },
    {
      when: 'that was scheduled waits for its day',
      situation: aLifecycle({ ledger: aLedger([active, scheduled]), now: rotationDay - 1 }),
      told: [],
    },
    {
      when: 'that was scheduled happens on its day',
      situation: aLifecycle({ ledger: aLedger([active, scheduled]), now: rotationDay }),
      told: [signs, stops],
    },
    {
      when: 'waits while a replica does not serve the key, even if it was published before',
      situation: aLifecycle({ ledger: rotating, now: epoch + day, served: ['kid-1'] }),
      told: [],
    },
    {
      when: 'waits while the key cannot be decrypted',
      situation: aLifecycle({ ledger: rotating, now: epoch + day, keyMaterial: new Map([['kid-1', opens]]) }),
      told: [],
    },
    {
      when: 'waits while the clock is skewed',
      situation: aLifecycle({ ledger: rotating, now: epoch + day, clockSkew: -hour }),
      told: [],
    },
    {
      when: 'waits while the registration is suspended',
      situation: aLifecycle({ ledger: rotating, now: epoch + day, registration: aRegistration({ suspend: true }) }),
      told: [],
    },
    {
      when: 'waits while a safety inequality is violated',
      situation: aLifecycle({ ledger: rotating, now: epoch + day, cacheLifetime: day }),
      told: [],
    },
    {
      when: 'waits for the acknowledgement of a pasted key',
      situation: aLifecycle({ ledger: rotating, now: epoch + day, registration: manual('kid-1') }),
      told: [],
    },
    {
      when: 'waits for a fetch if activation is AfterFetch, and an earlier fetch does not count',
      situation: aLifecycle({ ledger: rotating, now: epoch + day, registration: afterFetch(), fetches: fetchedBefore }),
      told: [],
    },
    {
      when: 'waits for a fetch while not every replica reports fetches',
      situation: aLifecycle({
        ledger: rotating,
        now: epoch + day,
        registration: afterFetch(),
        fetches: { complete: false },
      }),
      told: [],
    },
    {
      when: 'does not wait for a fetch of Moodle, which fetches a key only after it signed',
      situation: aLifecycle({
        ledger: rotating,
        now: epoch + day,
        registration: afterFetch({ platform: 'Moodle' }),
        fetches: fetchedBefore,
      }),
      told: [signs, stops],
    },
    {
      when: 'happens after a fetch, also if a replica reports nothing',
      situation: aLifecycle({
        ledger: rotating,
        now: epoch + day,
        registration: afterFetch(),
        fetches: { lastAt: epoch, complete: false },
      }),
      told: [signs, stops],
    },
    {
      when: 'does not happen before the activation delay because of a fetch',
      situation: aLifecycle({
        ledger: rotating,
        now: epoch + day - 1,
        registration: afterFetch(),
        fetches: { lastAt: epoch + hour, complete: true },
      }),
      told: [],
    },
    {
      when: 'happens without a fetch if a person acknowledged this key',
      situation: aLifecycle({
        ledger: rotating,
        now: epoch + day,
        registration: afterFetch({ acknowledgedKeyID: 'kid-2' }),
        fetches: fetchedBefore,
      }),
      told: [signs, stops],
    },
    {
      when: 'happens without a fetch if the key follows a revocation',
      situation: aLifecycle({
        ledger: aLedger([active, { ...requested, cause: 'Revocation' }]),
        now: epoch + day,
        registration: afterFetch(),
        fetches: fetchedBefore,
      }),
      told: [signs, stops],
    },
    {
      when: 'happens after the acknowledgement of this key',
      situation: aLifecycle({ ledger: rotating, now: epoch + day, registration: manual('kid-2') }),
      told: [signs, stops],
    },
  ],
  'The overlap': [
    {
      when: 'starts when the new key was delivered to the tool',
      situation: aLifecycle({
        ledger: aLedger([aKey(1, 'Retiring'), second2], names),
        registration: delivered(),
        delivery: { keyID: 'kid-2', leftovers: [] },
        now: epoch + 5,
      }),
      told: [stops],
      key: [1, { stoppedSigningAt: epoch + 5, retireAt: epoch + 5 + 2 * day }],
    },
    {
      when: 'does not start while the delivery Secret holds the old key',
      situation: aLifecycle({
        ledger: aLedger([aKey(1, 'Retiring'), second2], names),
        registration: delivered(),
        delivery: { keyID: 'kid-1', leftovers: [] },
      }),
      told: [],
    },
    {
      when: 'does not start while there is no delivery Secret yet',
      situation: aLifecycle({ ledger: aLedger([aKey(1, 'Retiring'), second2], names), registration: delivered() }),
      told: [],
    },
    {
      when: 'does not start while a former delivery Secret exists, which may hold the old key',
      situation: aLifecycle({
        ledger: aLedger([aKey(1, 'Retiring'), second2], left),
        delivery: { leftovers: ['signing'] },
      }),
      told: [],
    },
    {
      when: 'does not start while the clock is skewed, whose time would end it early',
      situation: aLifecycle({ ledger: aLedger([aKey(1, 'Retiring'), second2]), clockSkew: -hour }),
      told: [],
    },
    {
      when: 'starts at once without a delivery Secret',
      situation: aLifecycle({ ledger: aLedger([aKey(1, 'Retiring'), second2]) }),
      told: [stops],
    },
    {
      when: 'follows spec.overlap',
      situation: aLifecycle({ ledger: retirement, registration: aRegistration({ overlap: 3 * day }) }),
      told: [stops],
      key: [1, { stoppedSigningAt: epoch, retireAt: epoch + 3 * day }],
    },
    {
      when: 'follows spec.overlap to its floor and no further',
      situation: aLifecycle({ ledger: retirement, registration: aRegistration({ overlap: second }), now: epoch + 9 }),
      told: [stops],
      states: ['Retiring', 'Active'],
      key: [1, { retireAt: epoch + hour }],
    },
    {
      when: 'does not touch the time of a public key of a former system',
      situation: aLifecycle({
        ledger: aLedger([aKey(1, 'Active'), aKey(2, 'Retiring', { verifyOnly: true, retireAt: epoch + 9 })]),
      }),
      told: [],
      key: [2, { retireAt: epoch + 9 }],
    },
  ],
  'a retiring key': [
    {
      when: 'is retired when its time has come',
      situation: aLifecycle({ ledger: retirement, now: epoch + 2 * day }),
      told: [retired],
      states: ['Retired', 'Active'],
      key: [1, { retiredAt: epoch + 2 * day }],
    },
    {
      when: 'stays a millisecond before',
      situation: aLifecycle({ ledger: retirement, now: epoch + 2 * day - 1 }),
      told: [],
    },
    {
      when: 'is kept while the registration is suspended',
      situation: aLifecycle({
        ledger: retirement,
        now: epoch + 9 * day,
        registration: aRegistration({ suspend: true }),
      }),
      told: [],
    },
    {
      when: 'stays while the clock is wrong',
      situation: aLifecycle({ ledger: retirement, now: epoch + 9 * day, clockSkew: 9 * day }),
      told: [],
    },
    {
      when: 'goes although replicas do not answer, for it was told long ago',
      situation: aLifecycle({ ledger: retirement, now: epoch + 2 * day, served: [] }),
      told: [retired],
    },
  ],
  'a delivery Secret': [
    {
      when: 'is recorded before it is written',
      situation: aLifecycle({ registration: delivered() }),
      told: ['SettingsRecorded'],
    },
    {
      when: 'is not forgotten while it exists',
      situation: aLifecycle({
        ledger: aLedger([active], names),
        registration: aRegistration({ deliverySecretName: 'new' }),
        delivery: { leftovers: ['signing'] },
      }),
      told: ['SettingsRecorded'],
    },
    {
      when: 'stays on record when it is gone, until another one was recorded after it',
      situation: aLifecycle({ ledger: aLedger([active], left) }),
      told: [],
    },
    {
      when: 'that is recorded is not recorded again',
      situation: aLifecycle({
        ledger: aLedger([active], names),
        registration: delivered(),
        delivery: { keyID: 'kid-1', leftovers: [] },
      }),
      told: [],
    },
  ],
  'the deletion policy': [
    {
      when: 'is recorded where it changed',
      situation: aLifecycle({ registration: aRegistration({ deletionPolicy: 'Delete' }) }),
      told: ['SettingsRecorded'],
    },
  ],
  'the history': [
    {
      when: 'keeps as many final records as asked for, the newest',
      situation: aLifecycle({
        ledger: aLedger([aKey(1, 'Retired'), aKey(2, 'Retired'), aKey(3, 'Active')]),
        registration: aRegistration({ keyHistoryLimit: 1 }),
      }),
      told: ['HistoryPruned'],
      states: ['Retired', 'Active'],
    },
    {
      when: 'keeps a revoked record for a day, in which its documents are cached only briefly',
      situation: aLifecycle({
        ledger: aLedger([aKey(1, 'Revoked'), second2]),
        registration: aRegistration({ keyHistoryLimit: 0 }),
        now: epoch + day - 1,
      }),
      told: [],
      states: ['Revoked', 'Active'],
    },
    {
      when: 'drops a revoked record after that day',
      situation: aLifecycle({
        ledger: aLedger([aKey(1, 'Revoked'), second2]),
        registration: aRegistration({ keyHistoryLimit: 0 }),
        now: epoch + day,
      }),
      told: ['HistoryPruned'],
      states: ['Active'],
    },
  ],
};

for (const [rule, cases] of Object.entries(rules)) {
  describe(rule, () => {
    for (const { when, situation, told, states, key } of cases) {
      it(when, () => {
        const { ledger, transitions } = plan(situation);
        expect(
          transitions.map(({ reason, message }) => (message === undefined ? reason : `${reason}: ${message}`)),
        ).to.deep.equal(told);
        expect(ledger.serial).to.equal(situation.ledger.serial + (told.length > 0 ? 1 : 0));
        expect(ledger.activeKeyID).to.equal(activeKey(ledger)?.keyID);
        expect(ledger.keys.map(({ state }) => state)).to.deep.equal(
          states ?? (told.includes(signs) ? ['Retiring', 'Active'] : ledger.keys.map(({ state }) => state)),
        );
        if (told.length === 0) expect(ledger).to.equal(situation.ledger);
        for (const [name, value] of Object.entries(key?.[1] ?? {})) {
          const row = ledger.keys.find(({ revision }) => revision === key![0]);
          expect(row?.[name as keyof KeyChange], name).to.equal(value);
        }
      });
    }
  });
}

describe('The policies', () => {
  it('The policies change nothing in a registration in which nothing is due', () => {
    for (const policy of policies) expect(policy(aLifecycle()), policy.name).to.equal(undefined);
  });

  it('The policies remove the time at which a key stopped signing if it signs again', () => {
    const { ledger } = plan(aLifecycle({ ledger: retirement, registration: revoking(2) }));
    expect(activeKey(ledger)).not.to.have.any.keys('stoppedSigningAt', 'retireAt');
    expect(ledger.rotationOwed).to.equal('Revocation');
  });

  for (const [cause, owed] of [
    ['Trigger', 'Trigger'],
    ['Request', 'Request'],
    ['Revocation', 'Revocation'],
    ['Schedule', undefined],
    ['KeySize', undefined],
  ] as const) {
    it(`The policies owe ${owed ? 'the rotation, for the same reason,' : 'nothing'} if a key made for ${cause} was revoked or discarded`, () => {
      const ledger = aLedger([active, aKey(2, 'Next', { cause, publishedAt: epoch })]);
      for (const registration of [revoking(2), aRegistration({ keySize: 4096 })])
        expect(plan(aLifecycle({ ledger, registration })).ledger.rotationOwed).to.equal(owed);
    });
  }

  it('The policies make a key of the new size with the cause KeySize, or with the cause of an earlier trigger', () => {
    const registration = aRegistration({ keySize: 4096 });
    for (const [cause, then] of [
      ['Schedule', 'KeySize'],
      ['Trigger', 'Trigger'],
    ] as const) {
      const ledger = aLedger([active, aKey(2, 'Next', { cause, publishedAt: epoch })]);
      expect(plan(aLifecycle({ ledger, registration })).generate, cause).to.deep.equal({ cause: then, size: 4096 });
    }
  });

  it('The policies record both answers if one key answers a trigger and a request', () => {
    const registration = aRegistration({ rotationTrigger: 'b', rotateRequest: 'now' });
    const { ledger } = plan(aLifecycle({ ledger: aLedger([active, scheduled]), registration }));
    expect(ledger).to.include({ observedRotationTrigger: 'b', observedRotateRequest: 'now' });
  });

  it('The policies record the names of delivery Secrets, the configured one last', () => {
    const registration = aRegistration({ deliverySecretName: 'new' });
    const before = aLedger([active], { deliveries: [{ secretName: 'gone' }, { secretName: 'left' }] });
    const situation = aLifecycle({ ledger: before, registration, delivery: { leftovers: ['left'] } });
    expect(plan(situation).ledger.deliveries).to.deep.equal([
      { secretName: 'left', leftAt: epoch },
      { secretName: 'new' },
    ]);
  });

  it('The policies change nothing before the first key', () => {
    const situation = aLifecycle({ ledger: aLedger([]), registration: delivered({ deletionPolicy: 'Delete' }) });
    expect(plan(situation).transitions).to.deep.equal([]);
  });
});
