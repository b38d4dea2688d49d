import { expect } from 'chai';
import { absenceGraceMs, type LtiKeyFacts } from '../../../src/publish/published-key.ts';
import { PublishedKeys } from '../../../src/publish/published-keys.ts';
import { ltiKey } from '../../builders/lti-key-facts.ts';

const canvas = { namespace: 'gradebook', registration: 'canvas' };

function held(): { keys: PublishedKeys; listed: (objects: readonly LtiKeyFacts[], now: number) => readonly string[] } {
  const keys = new PublishedKeys((_object, fault) => expect.fail(fault));
  const listed = (objects: readonly LtiKeyFacts[], now: number): readonly string[] =>
    keys
      .update(canvas, objects, now)
      ?.map(({ registration, revision, state }) => `${registration}-${revision} ${state}`) ?? ['held back'];
  return { keys, listed };
}

describe('PublishedKeys', () => {
  const active = ltiKey('canvas', 1, 'Active');

  it('PublishedKeys updates the state of a key from its LtiKey', () => {
    const { listed } = held();
    expect(listed([active], 0)).to.deep.equal(['canvas-1 Active']);
    expect(listed([ltiKey('canvas', 1, 'Retiring')], 1)).to.deep.equal(['canvas-1 Retiring']);
    expect(listed([ltiKey('canvas', 1, 'Retired')], 2)).to.deep.equal(['canvas-1 Retired']);
    expect(listed([], 3)).to.deep.equal([]);
  });

  for (const state of ['Next', 'Active', 'Retiring']) {
    it(`PublishedKeys keeps a key that was ${state} when its LtiKey disappears, until the grace period is over and the key is dropped`, () => {
      const { keys, listed } = held();
      listed([ltiKey('canvas', 1, state)], 0);
      expect(listed([], 100)).to.deep.equal([`canvas-1 ${state}`]);
      expect(keys.nextExpiry()).to.equal(100 + absenceGraceMs);
      expect(keys.expired(99 + absenceGraceMs)).to.deep.equal([]);
      const [departed] = keys.expired(100 + absenceGraceMs);
      expect(departed).to.include({ name: 'canvas-1', cleared: false });
      expect(departed?.key).to.include(canvas);
      expect(listed([], 100 + absenceGraceMs)).to.deep.equal([`canvas-1 ${state}`]);
      if (departed) keys.forget(departed);
      expect(listed([], 101 + absenceGraceMs)).to.deep.equal([]);
    });
  }

  it('PublishedKeys restarts the grace period of a key that is kept', () => {
    const { keys, listed } = held();
    listed([active], 0);
    listed([], 0);
    for (const departed of keys.expired(absenceGraceMs)) keys.keep(departed, absenceGraceMs, false);
    expect(keys.nextExpiry()).to.equal(2 * absenceGraceMs);
    expect(listed([], absenceGraceMs)).to.deep.equal(['canvas-1 Active']);
  });

  it('PublishedKeys keeps a key whose LtiKey came back during the confirmation', () => {
    const { keys, listed } = held();
    listed([active], 0);
    listed([], 0);
    const [departed] = keys.expired(absenceGraceMs);
    listed([active], absenceGraceMs);
    if (departed) keys.forget(departed);
    expect(listed([active], absenceGraceMs)).to.deep.equal(['canvas-1 Active']);
    expect(keys.nextExpiry()).to.equal(Number.POSITIVE_INFINITY);
  });

  it('PublishedKeys uses the state of an LtiKey that comes back', () => {
    const { listed } = held();
    listed([active], 0);
    listed([], 1);
    expect(listed([ltiKey('canvas', 1, 'Revoked')], 2)).to.deep.equal(['canvas-1 Revoked']);
  });

  it('PublishedKeys keeps a key without a time limit while its LtiKey is back without a status', () => {
    const { keys, listed } = held();
    listed([active], 0);
    listed([], 1);
    expect(listed([ltiKey('canvas', 1, undefined)], 2)).to.deep.equal(['canvas-1 Active']);
    expect(keys.nextExpiry()).to.equal(Number.POSITIVE_INFINITY);
  });

  it('PublishedKeys keeps a key whose state was cleared for the grace period, and then needs no confirmation', () => {
    const { keys, listed } = held();
    listed([active], 0);
    expect(listed([{ ...active, status: {} }], 5)).to.deep.equal(['canvas-1 Active']);
    expect(keys.expired(5 + absenceGraceMs).map(({ cleared }) => cleared)).to.deep.equal([true]);
  });

  it('PublishedKeys holds back a registration whose LtiKeys are being created, until all have their status', () => {
    const { keys, listed } = held();
    const [first, second] = [ltiKey('canvas', 1, undefined), ltiKey('canvas', 2, undefined)];
    expect(listed([first, second], 0)).to.deep.equal(['held back']);
    expect(listed([ltiKey('canvas', 1, 'Retiring'), second], 5)).to.deep.equal(['held back']);
    expect(keys.heldBack.nextExpiry()).to.equal(absenceGraceMs);
    const complete = [ltiKey('canvas', 1, 'Retiring'), ltiKey('canvas', 2, 'Active')];
    expect(listed(complete, 6)).to.deep.equal(['canvas-1 Retiring', 'canvas-2 Active']);
    expect(keys.heldBack.nextExpiry()).to.equal(Number.POSITIVE_INFINITY);
    // Once it is published, a new key delays nothing.
    expect(listed([...complete, ltiKey('canvas', 3, undefined)], 7)).to.deep.equal([
      'canvas-1 Retiring',
      'canvas-2 Active',
    ]);
  });

  it('PublishedKeys holds back a registration for the grace period at most', () => {
    const { keys, listed } = held();
    const some = [ltiKey('canvas', 1, undefined), ltiKey('canvas', 2, 'Active')];
    expect(listed(some, 0)).to.deep.equal(['held back']);
    expect(keys.heldBack.expired(absenceGraceMs - 1)).to.deep.equal([]);
    expect(keys.heldBack.expired(absenceGraceMs)).to.have.length(1);
    expect(listed(some, absenceGraceMs)).to.deep.equal(['canvas-2 Active']);
    expect(keys.heldBack.nextExpiry()).to.equal(Number.POSITIVE_INFINITY);
  });

  it('PublishedKeys does not hold back a signing key for a newer one that was just created', () => {
    const { listed } = held();
    expect(listed([active, ltiKey('canvas', 2, undefined)], 0)).to.deep.equal(['canvas-1 Active']);
  });

  it('PublishedKeys does not list an LtiKey that never had a state', () => {
    const { listed } = held();
    expect(listed([{ ...ltiKey('canvas', 2, 'x'), status: {} }], 0)).to.deep.equal([]);
    listed([active], 1);
    expect(listed([active, ltiKey('canvas', 2, undefined)], 2)).to.deep.equal(['canvas-1 Active']);
  });

  it('PublishedKeys refuses an LtiKey whose public half has a private member, and reports it', () => {
    const faults: string[] = [];
    const keys = new PublishedKeys(({ metadata }, fault) => void faults.push(`${metadata.name} ${fault}`));
    const publicJWK = { ...Object(active.spec.publicJWK), d: 'c2VjcmV0' };
    expect(keys.update(canvas, [{ ...active, spec: { ...active.spec, publicJWK } }], 0)).to.deep.equal([]);
    expect(faults).to.deep.equal(['canvas-1 has members beyond kty, use, alg, kid, n and e']);
  });

  it('PublishedKeys keeps registrations separate', () => {
    const { keys, listed } = held();
    listed([active], 0);
    expect(keys.update({ ...canvas, registration: 'moodle' }, [ltiKey('moodle', 1, 'Active')], 5)).to.have.length(1);
    expect(keys.nextExpiry()).to.equal(Number.POSITIVE_INFINITY);
    expect(keys.update({ ...canvas, registration: 'moodle' }, [], 6)).to.have.length(1);
    expect(keys.expired(6 + absenceGraceMs).map(({ name }) => name)).to.deep.equal(['moodle-1']);
    expect(listed([active], 7)).to.deep.equal(['canvas-1 Active']);
  });
});
