import { expect } from 'chai';
import { day, formatInstant, hour, second } from '../../../src/domain/duration.ts';
import type { ConditionReason } from '../../../src/api/reasons.ts';
import { plan } from '../../../src/domain/key-plan.ts';
import { emptyLedger } from '../../../src/domain/ledger.ts';
import type { Outcome } from '../../../src/domain/conditions.ts';
import { conditions } from '../../../src/domain/verdict.ts';
import { ltiKeyOf } from '../../../src/domain/ltikeys.ts';
import { faultedStatus, registrationStatus } from '../../../src/domain/status.ts';
import type { Lifecycle } from '../../../src/domain/situation.ts';
import { nextRotationTime } from '../../../src/domain/timing.ts';
import { aKey, aLedger, aPublicJwk, epoch } from '../../builders/ledger.ts';
import { aRegistration } from '../../builders/registration.ts';
import { aLifecycle, anObservation, damaged, noKek, opens } from '../../builders/situation.ts';

type Conditions = ReturnType<typeof registrationStatus>['conditions'];

const active = aKey(1, 'Active');
const delivered = aRegistration({ deliverySecretName: 'signing' });
const recorded = aLedger([active], { deliveries: [{ secretName: 'signing' }] });
const requested = aKey(2, 'Next', { cause: 'Trigger', publishedAt: epoch });
const taken = { reason: 'DeliverySecretConflict', message: 'Secret gradebook/signing is not ours' } as const;

function anOutcome(lifecycle: Lifecycle, more: Partial<Outcome> = {}): Outcome {
  return {
    lifecycle,
    plan: plan(lifecycle),
    unknownRevoked: [],
    deliveries: { secretNames: [] },
    shared: new Map(),
    ...more,
  };
}

function statusOf(lifecycle: Lifecycle, more: Partial<Outcome> = {}): ReturnType<typeof registrationStatus> {
  return registrationStatus(anOutcome(lifecycle, more), undefined);
}

function shown(list: Conditions, type: string): string | undefined {
  const found = list?.find((condition) => condition.type === type);
  return found && `${found.status} ${found.reason}: ${found.message}`;
}

describe('The conditions of a registration', () => {
  const wrongClock = aLifecycle({ clockSkew: -hour });
  const manual = aLifecycle({
    registration: aRegistration({ keyDistribution: 'Manual' }),
    ledger: aLedger([active, requested]),
  });
  const lacking = aLifecycle({ served: [], detail: 'jwks-1 lacks kid-1' });
  const unserved = aLifecycle({ ledger: aLedger([active, aKey(2, 'Next')]), served: ['kid-1'] });
  const nothing = aLifecycle({ ledger: emptyLedger('gradebook', 'canvas') });
  const broken = aLifecycle({ keyMaterial: new Map([['kid-1', damaged]]) });
  const obstacle = 'blocked; see the Stalled condition';
  const skewed =
    'the clocks of the operator and the API server differ by 1h, more than 5m: no key is activated or retired until they agree. Check time synchronization on the nodes';
  const short =
    'spec.overlap is 1s; platforms may receive tokens that were signed before a rotation for longer than that: raise it to at least 1h';
  const paste =
    "paste the public key of LtiKey canvas-2 at the platform (kubectl get ltikey canvas-2 -n gradebook -o jsonpath='{.spec.publicJWK}'), then set spec.acknowledgedKeyID to kid-2";

  const published = aKey(2, 'Next', { publishedAt: epoch, cause: 'Request' });
  const halfway = aLifecycle({
    ledger: aLedger([active, published]),
    fetches: { lastAt: epoch - hour, complete: true },
    now: epoch + 12 * hour,
  });
  const notFetched =
    'True NotFetched: no client has fetched https://keys.example.org/canvas since next key kid-2 was published at 2026-03-01T00:00:00Z, so the platform may reject what the tool signs after the rotation. Compare the key set URL at the platform: it may have a pasted key or another URL. If a CDN or proxy answers for the replicas, or the tool is not in use, no action is required; the rotation does not wait';
  const afterFetch = aRegistration({ activation: 'AfterFetch' });
  const held =
    'True FetchRequired: next key kid-2 is due and does not sign, because spec.activation is AfterFetch and no client is known to have fetched https://keys.example.org/canvas since 2026-03-01T00:00:00Z';
  const release =
    'To let the key sign nevertheless, set spec.acknowledgedKeyID to kid-2, or spec.activation to AfterDelay';
  const noAction = 'False NoActionRequired: no action is required';
  const jwksURL = 'https://keys.example.org/canvas';
  const neverFetched: typeof cases = [
    ['halfway to the activation of a key that was not fetched', halfway, { jwksURL }, { ActionRequired: notFetched }],
    [
      'if no key was ever fetched',
      { ...halfway, fetches: { complete: true } },
      { jwksURL },
      { ActionRequired: notFetched },
    ],
    ['before that', { ...halfway, now: epoch + 12 * hour - 1 }, {}, { ActionRequired: noAction }],
    [
      'if the next key was fetched',
      { ...halfway, fetches: { lastAt: epoch, complete: true } },
      {},
      { ActionRequired: noAction },
    ],
    [
      'while a replica does not report its fetches',
      { ...halfway, fetches: { complete: false } },
      {},
      { ActionRequired: noAction },
    ],
    [
      'if the next key is not published',
      { ...halfway, ledger: aLedger([active, aKey(2, 'Next', { cause: 'Request' })]) },
      {},
      { ActionRequired: noAction },
    ],
    [
      'if the key that was not fetched was pasted',
      { ...halfway, registration: aRegistration({ keyDistribution: 'Manual', acknowledgedKeyID: 'kid-2' }) },
      {},
      { ActionRequired: noAction },
    ],
    [
      'if the rotation to a key that was not fetched is suspended',
      { ...halfway, registration: aRegistration({ suspend: true }) },
      {},
      { ActionRequired: noAction },
    ],
    [
      'halfway to the activation of a key that waits for a fetch',
      { ...halfway, registration: afterFetch },
      { jwksURL },
      {
        ActionRequired:
          'True NotFetched: no client has fetched https://keys.example.org/canvas since next key kid-2 was published at 2026-03-01T00:00:00Z, so it does not sign before that (spec.activation is AfterFetch). Compare the key set URL at the platform: it may have a pasted key or another URL',
        Reconciling:
          'False WaitingForActivation: key kid-2 is published and will sign from 2026-03-02T00:00:00Z, but not before a client has fetched it',
      },
    ],
    [
      'if a key is due and waits for a fetch',
      { ...halfway, registration: afterFetch, now: epoch + day },
      { jwksURL },
      {
        ActionRequired: `${held}. Compare the key set URL at the platform: it may have a pasted key or another URL. ${release}`,
        Reconciling:
          'False WaitingForActivation: key kid-2 is published and due, and waits for a fetch; see the ActionRequired condition',
        Ready: 'True SigningKeyReady: key kid-1 signs, and every ready replica serves it',
        Stalled: 'False NotStalled: nothing blocks rotation',
      },
    ],
    ...['Moodle', 'Blackboard'].map((platform): (typeof cases)[number] => [
      `if the key was not fetched, because ${platform} fetches a key only after use`,
      { ...halfway, registration: aRegistration({ platform }) },
      { jwksURL },
      { ActionRequired: noAction },
    ]),
    ...['Brightspace', 'Canvas'].map((platform): (typeof cases)[number] => [
      `if the key was not fetched by ${platform}`,
      { ...halfway, registration: aRegistration({ platform }) },
      { jwksURL },
      { ActionRequired: notFetched },
    ]),
    [
      'if AfterFetch was stored for a platform that fetches a key only after use',
      { ...halfway, registration: { ...afterFetch, platform: 'Moodle' }, now: epoch + 12 * hour },
      { jwksURL },
      {
        ActionRequired: noAction,
        Reconciling: 'False WaitingForActivation: key kid-2 is published and will sign from 2026-03-02T00:00:00Z',
      },
    ],
    [
      'if a key is due and waits for a fetch that a replica may not have reported',
      { ...halfway, registration: afterFetch, now: epoch + day, fetches: { complete: false } },
      { jwksURL },
      {
        ActionRequired: `${held}. Not every replica reports its fetches, so there may have been some: the log of the leading controller says which replica and why. ${release}`,
      },
    ],
    [
      'if a key is due and waits for a fetch that is not reported',
      { ...halfway, registration: afterFetch, now: epoch + day, fetches: { complete: false, notCollected: true } },
      { jwksURL },
      {
        ActionRequired: `${held}. The operator collects no fetches, because it has --jwks-probe-url and no --jwks-admin-port: set that option. ${release}`,
      },
    ],
    [
      'if a key is due and waits for a fetch, but its rotation is suspended',
      { ...halfway, registration: { ...afterFetch, suspend: true }, now: epoch + day },
      {},
      { ActionRequired: noAction },
    ],
    [
      'if a key that was not fetched was acknowledged',
      { ...halfway, registration: { ...afterFetch, acknowledgedKeyID: 'kid-2' }, now: epoch + day - 1 },
      { jwksURL },
      { ActionRequired: notFetched },
    ],
    [
      'if a key ID is unknown, before a key that was not fetched',
      halfway,
      { unknownRevoked: [0] },
      {
        ActionRequired:
          'True UnknownRevokedKeyID: spec.revokedKeyIDs[0]: the registration has no such key, so the entry revokes nothing. Copy the key ID from the KEY ID column of kubectl get ltikeys, or remove the entry',
      },
    ],
  ];

  const cases: readonly (readonly [
    string,
    Lifecycle,
    Partial<Outcome>,
    Readonly<Record<string, string | undefined>>,
  ])[] = [
    [
      'if a key signs and is served',
      aLifecycle(),
      {},
      {
        Ready: 'True SigningKeyReady: key kid-1 signs, and every ready replica serves it',
        Published: 'True ServedByAllReplicas: every ready replica serves the signing key',
        KeyMaterialAvailable:
          'True KeysDecryptable: every sealed private key can be decrypted and matches its public key',
        ActionRequired: 'False NoActionRequired: no action is required',
        Reconciling: 'False UpToDate: no operation in progress',
        Stalled: 'False NotStalled: nothing blocks rotation',
        RevocationEffective: undefined,
      },
    ],
    [
      'before the first key',
      nothing,
      {},
      {
        Ready: 'False NoSigningKey: the registration has no signing key',
        Published: 'False NoSigningKey: the registration has no signing key',
        Reconciling: 'True GeneratingKey: generating a key pair of 2048 bits (Initial)',
      },
    ],
    [
      'if a replica does not serve the signing key, and which one',
      lacking,
      {},
      {
        Ready: 'False NotServedByAllReplicas: key kid-1 is not served by every ready replica: jwks-1 lacks kid-1',
        Published: 'False NotServedByAllReplicas: key kid-1 is not served by every ready replica: jwks-1 lacks kid-1',
        Reconciling: 'True NotServedByAllReplicas: key kid-1 is not served by every ready replica: jwks-1 lacks kid-1',
      },
    ],
    [
      'if a new key is not served yet',
      unserved,
      {},
      {
        Ready: 'True SigningKeyReady: key kid-1 signs, and every ready replica serves it',
        Reconciling: 'True WaitingForPublication: key kid-2 is not served by every ready replica',
      },
    ],
    [
      'if the delivery Secret does not hold the key yet',
      aLifecycle({ ledger: recorded, registration: delivered }),
      {},
      {
        Ready: 'False DeliveryPending: delivery Secret signing does not hold signing key kid-1 yet',
        Reconciling: 'True DeliveryPending: delivery Secret signing does not hold signing key kid-1 yet',
        Published: 'True ServedByAllReplicas: every ready replica serves the signing key',
      },
    ],
    [
      'if the delivery Secret holds the key',
      aLifecycle({ ledger: recorded, registration: delivered, delivery: { keyID: 'kid-1', leftovers: [] } }),
      {},
      { Ready: 'True SigningKeyReady: key kid-1 signs, and every ready replica serves it' },
    ],
    [
      'where the delivery Secret belongs to another owner',
      aLifecycle({ ledger: recorded, registration: delivered }),
      { deliveryFault: taken },
      {
        Ready: 'False DeliverySecretConflict: Secret gradebook/signing is not ours',
        Stalled: 'True DeliverySecretConflict: Secret gradebook/signing is not ours',
        Reconciling: `False DeliverySecretConflict: ${obstacle}`,
      },
    ],
    [
      'if a sealed key cannot be decrypted',
      broken,
      {},
      {
        Ready: 'True SigningKeyReady: key kid-1 signs, and every ready replica serves it',
        KeyMaterialAvailable: 'False SealTampered: the sealed key does not open',
        Stalled: 'True SealTampered: the sealed key does not open',
      },
    ],
    [
      'if no key can be sealed',
      aLifecycle({ sealingFault: noKek }),
      {},
      {
        KeyMaterialAvailable: 'False KEKMissing: there is no key-encryption key',
        Stalled: 'False NotStalled: nothing blocks rotation',
      },
    ],
    [
      'if no key can be sealed and a key is needed',
      aLifecycle({ sealingFault: noKek, registration: aRegistration({ rotateRequest: 'now' }) }),
      {},
      { Stalled: 'True KEKMissing: there is no key-encryption key' },
    ],
    [
      'if a key must be pasted, with the command that prints it',
      manual,
      {},
      { ActionRequired: `True AcknowledgementRequired: ${paste}` },
    ],
    [
      'if the key was pasted',
      aLifecycle({
        registration: aRegistration({ keyDistribution: 'Manual', acknowledgedKeyID: 'kid-2' }),
        ledger: aLedger([active, requested]),
      }),
      {},
      { ActionRequired: 'False NoActionRequired: no action is required' },
    ],
    ...neverFetched,
    [
      'while the registration is suspended',
      aLifecycle({ registration: aRegistration({ suspend: true }) }),
      {},
      { Reconciling: 'False Suspended: spec.suspend is true: no rotation starts and no key retires' },
    ],
    [
      'if the clock is skewed, before all other faults',
      { ...wrongClock, registration: aRegistration({ overlap: second }) },
      { deliveryFault: taken },
      { Stalled: `True ClockSkewed: ${skewed}`, Reconciling: `False ClockSkewed: ${obstacle}` },
    ],
    [
      'if a safety inequality is violated',
      aLifecycle({ registration: aRegistration({ overlap: second }) }),
      {},
      { Stalled: `True OverlapTooShort: ${short}` },
    ],
    [
      'while a revoked key still signs, although an earlier revocation is effective',
      aLifecycle({
        ledger: aLedger([aKey(1, 'Revoked', { absentAt: epoch }), aKey(2, 'Active', { revocationSeenAt: epoch })]),
        registration: aRegistration({ platform: 'Canvas', revokedKeyIDs: new Set(['kid-1', 'kid-2']) }),
      }),
      {},
      {
        RevocationEffective:
          'False RevokedKeyStillServed: revoked key kid-2 may still be served: it leaves once another key can sign, at the latest after 20s',
      },
    ],
    [
      'after a revocation',
      aLifecycle({
        ledger: aLedger([aKey(1, 'Revoked', { absentAt: epoch }), aKey(2, 'Active')]),
        registration: aRegistration({ platform: 'Canvas' }),
      }),
      {},
      {
        RevocationEffective:
          'True RevocationEffective: Canvas no longer accepts revoked key kid-1: it fetches the key set for every token request; access tokens issued earlier stay valid for up to 1h more',
      },
    ],
  ];
  for (const [when, situation, more, expected] of cases) {
    it(`The conditions of a registration are right ${when}`, () => {
      const { conditions: list } = statusOf(situation, more);
      for (const [type, text] of Object.entries(expected)) expect(shown(list, type), type).to.equal(text);
    });
  }

  it('The conditions of a registration have the generation that they describe', () => {
    const list = statusOf(aLifecycle({ registration: aRegistration({ generation: 7 }) })).conditions;
    expect(new Set(list?.map(({ observedGeneration }) => observedGeneration))).to.deep.equal(new Set([7]));
  });
});

describe('The lastTransitionTime of conditions', () => {
  const verdict = (status: 'True' | 'False', reason: ConditionReason, message = '') => ({
    Ready: { status, reason, message },
  });
  const first = conditions(verdict('True', 'SigningKeyReady'), undefined, 1, epoch);

  it('lastTransitionTime stays if only reason, message or generation change', () => {
    const [later] = conditions(verdict('True', 'ServedByAllReplicas', 'other'), first, 2, epoch + hour);
    expect(later).to.deep.include({
      reason: 'ServedByAllReplicas',
      message: 'other',
      observedGeneration: 2,
      lastTransitionTime: formatInstant(epoch),
    });
  });

  it('lastTransitionTime changes with the status', () => {
    const [later] = conditions(verdict('False', 'SigningKeyReady'), first, 1, epoch + hour);
    expect(later?.lastTransitionTime).to.equal('2026-03-01T01:00:00Z');
  });

  it('lastTransitionTime is the present time for a new condition', () => {
    const [later] = conditions(
      { Stalled: { status: 'True', reason: 'ClockSkewed', message: '' } },
      first,
      1,
      epoch + hour,
    );
    expect(later?.lastTransitionTime).to.equal('2026-03-01T01:00:00Z');
  });

  it('lastTransitionTime comes with a message of at most 2048 characters', () => {
    expect(
      conditions(verdict('True', 'SigningKeyReady', 'm'.repeat(3000)), undefined, 1, epoch)[0]?.message,
    ).to.have.length(2048);
  });

  it('lastTransitionTime stays over any number of statuses without a change', () => {
    const status = statusOf(aLifecycle());
    const later = aLifecycle({ now: epoch + day });
    expect(registrationStatus(anOutcome(later), status)).to.deep.equal(status);
  });
});

describe('The status of a registration', () => {
  it('The status of a registration has the signing key, the next key and its activation time', () => {
    const ledger = aLedger([
      aKey(1, 'Retired'),
      aKey(2, 'Active', { createdAt: epoch - hour }),
      aKey(3, 'Next', { cause: 'Trigger', publishedAt: epoch }),
    ]);
    const status = statusOf(aLifecycle({ ledger }), { jwksURL: 'https://keys.example.org/k' });
    expect(status).to.deep.include({
      observedGeneration: 1,
      activeKey: {
        name: 'canvas-2',
        keyID: 'kid-2',
        createdAt: '2026-02-28T23:00:00Z',
        activatedAt: '2026-03-01T00:00:00Z',
      },
      nextKey: { name: 'canvas-3', keyID: 'kid-3', activateAfter: '2026-03-02T00:00:00Z' },
      jwksURL: 'https://keys.example.org/k',
      lastRotationTime: '2026-03-01T00:00:00Z',
      nextRotationTime: '2026-03-02T00:00:00Z',
      ledgerSerial: 7,
    });
  });

  it('The status of a registration has no activation time for a key that is not published', () => {
    const status = statusOf(aLifecycle({ ledger: aLedger([active, aKey(2, 'Next')]), served: ['kid-1'] }));
    expect(status.nextKey).to.deep.equal({ name: 'canvas-2', keyID: 'kid-2' });
  });

  it('The status of a registration has the time of the scheduled rotation, and none while suspended', () => {
    const rotation = formatInstant(nextRotationTime(active, aRegistration()));
    expect(statusOf(aLifecycle())).to.include({ nextRotationTime: rotation });
    expect(statusOf(aLifecycle())).not.to.have.property('lastRotationTime');
    expect(statusOf(aLifecycle({ registration: aRegistration({ suspend: true }) }))).not.to.have.property(
      'nextRotationTime',
    );
  });

  it('The status of a registration has no key if none signs, and has the answered requests', () => {
    const ledger = { ...aLedger([aKey(1, 'Revoked')]), observedRotationTrigger: 'a', observedRotateRequest: 'b' };
    const status = statusOf(aLifecycle({ ledger }));
    expect(status).not.to.have.any.keys('activeKey', 'nextKey', 'nextRotationTime', 'jwksURL');
    expect(status).to.include({ observedRotationTrigger: 'a', observedRotateRequest: 'b' });
  });
});

describe('The status of a registration whose ledger cannot be used', () => {
  const fault = { reason: 'LedgerMissing', message: 'the ledger is gone' } as const;
  const faulted = {
    generation: 1,
    fault,
    revokedKeyIDs: [],
    unknownRevoked: [],
    deliveries: { secretNames: [] },
    observation: anObservation([]),
    now: epoch,
  };
  const bad = 'LedgerMissing: the ledger is gone';

  it('The status without a usable ledger keeps what is known of the registration at the platform', () => {
    const verdict = { Registered: { status: 'True', reason: 'PlatformRecorded', message: 'm' } } as const;
    const known = { conditions: conditions(verdict, undefined, 1, epoch) };
    expect(shown(faultedStatus(faulted, known).conditions, 'Registered')).to.equal('True PlatformRecorded: m');
    expect(shown(faultedStatus(faulted, undefined).conditions, 'Registered')).to.equal(undefined);
  });

  it('The status without a usable ledger keeps the signing key and its conditions', () => {
    const before = statusOf(aLifecycle());
    const status = faultedStatus({ ...faulted, generation: 9, now: epoch + hour }, before);
    expect(status).to.deep.include({ activeKey: before.activeKey, observedGeneration: 9, ledgerSerial: 7 });
    for (const type of ['Ready', 'Published', 'ActionRequired'])
      expect(shown(status.conditions, type), type).to.equal(shown(before.conditions, type));
    expect(shown(status.conditions, 'KeyMaterialAvailable')).to.equal(`False ${bad}`);
    expect(shown(status.conditions, 'Stalled')).to.equal(`True ${bad}`);
    expect(shown(status.conditions, 'Reconciling')).to.equal(`False ${bad}`);
  });

  it('The status without a usable ledger has no signing key if there was none', () => {
    const status = faultedStatus(faulted, undefined);
    expect(shown(status.conditions, 'Ready')).to.equal(`False ${bad}`);
    expect(shown(status.conditions, 'Published')).to.equal(`False ${bad}`);
    expect(shown(status.conditions, 'ActionRequired')).to.equal('False NoActionRequired: no action is required');
  });
});

describe('The LtiKey of a row', () => {
  const row = aKey(2, 'Retiring', { retireAt: epoch + day });

  it('The LtiKey of a row has its facts, state and times, and reports that it can be decrypted', () => {
    const object = ltiKeyOf(aLedger([row]), row, opens, undefined, epoch);
    expect(object.metadata).to.deep.equal({
      name: 'canvas-2',
      namespace: 'gradebook',
      labels: { 'ltikeys.dev/registration': 'canvas' },
    });
    expect(object.spec).to.deep.equal({
      registrationRef: { name: 'canvas' },
      revision: 2,
      keyID: 'kid-2',
      algorithm: 'RS256',
      size: 2048,
      publicJWK: aPublicJwk('kid-2'),
    });
    expect(object.status).to.deep.include({
      state: 'Retiring',
      createdAt: '2026-03-01T00:00:00Z',
      publishedAt: '2026-03-01T00:00:00Z',
      activatedAt: '2026-03-01T00:00:00Z',
      retireAt: '2026-03-02T00:00:00Z',
      kekID: 'kek-1',
      ledgerSerial: 7,
    });
    expect(shown(object.status?.conditions, 'KeyMaterialAvailable')).to.equal(
      'True KeysDecryptable: the sealed private key can be decrypted and matches the public key',
    );
  });

  it('The LtiKey of a row reports that its key cannot be decrypted, without a key-encryption key', () => {
    const { status } = ltiKeyOf(aLedger([row]), row, damaged, undefined, epoch);
    expect(shown(status?.conditions, 'KeyMaterialAvailable')).to.equal(
      'False SealTampered: the sealed key does not open',
    );
    expect(status).not.to.have.property('kekID');
  });

  it('The LtiKey of a row has no KeyMaterialAvailable condition once the private key is destroyed', () => {
    const final = aKey(2, 'Retired');
    expect(ltiKeyOf(aLedger([final]), final, opens, undefined, epoch).status?.conditions).to.deep.equal([]);
  });
});
