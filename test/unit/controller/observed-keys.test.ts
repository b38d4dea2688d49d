import { expect } from 'chai';
import { observe } from '../../../src/controller/observed-keys.ts';
import type { KeysToObserve, PublicationObserver } from '../../../src/controller/publication/observer.ts';
import type { LedgerKey } from '../../../src/domain/ledger.ts';
import { readRegistration } from '../../../src/domain/registration.ts';
import type { Situation } from '../../../src/domain/situation.ts';
import { aKey, aLedger } from '../../builders/ledger.ts';
import { anLtiRegistration } from '../../builders/registration.ts';
import { anObservation, aSituation, damaged } from '../../builders/situation.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

describe('The observation of a registration', () => {
  function observedKeys(...keys: readonly LedgerKey[]): Promise<KeysToObserve | undefined> {
    return observedOf(aSituation({ ledger: { kind: 'present', ledger: aLedger(keys) } }));
  }

  async function observedOf({ ltiKeys, registration, ledger: reading }: Situation): Promise<KeysToObserve | undefined> {
    let observed: KeysToObserve | undefined;
    const observer: PublicationObserver = {
      isAnyUnresponsive: () => false,
      observe(_namespace, _registration, keysToObserve) {
        observed = keysToObserve;
        return Promise.resolve(anObservation([]));
      },
    };
    const ledger = reading.kind === 'present' ? reading.ledger : undefined;
    await observe({ observer, clock: new FakeClock() }, 'gradebook/canvas', ltiKeys, new Map(), ledger, registration);
    return observed;
  }

  it('The observation accepts a recent response only if no key waits for its publication', async () => {
    expect((await observedKeys(aKey(1, 'Retiring'), aKey(2, 'Active')))?.settled).to.equal(true);
    expect((await observedKeys(aKey(1, 'Active'), aKey(2, 'Next')))?.settled).to.equal(false);
  });

  it('looks for a key that was revoked although an older ledger, which was restored, still has it', async () => {
    const older = aSituation({ ledger: { kind: 'present', ledger: aLedger([aKey(1, 'Active')], { serial: 3 }) } });
    const object = anLtiRegistration({ revokedKeyIDs: ['kid-1', 'kid-2'] });
    const registration = { kind: 'present', object, registration: readRegistration(object) } as const;
    const { ltiKeys } = aSituation({
      ledger: { kind: 'present', ledger: aLedger([aKey(1, 'Revoked'), aKey(2, 'Revoked'), aKey(3, 'Active')]) },
    });
    const observed = await observedOf({ ...older, registration, ltiKeys });
    expect(observed?.absent.map(({ kid }) => kid)).to.deep.equal(['kid-1', 'kid-2']);
  });

  it('looks for the ID of a revoked key that neither the unreadable ledger nor an LtiKey has', async () => {
    const object = anLtiRegistration({ revokedKeyIDs: ['kid-1'] });
    const registration = { kind: 'present', object, registration: readRegistration(object) } as const;
    const ledger = { kind: 'faulty', fault: damaged } as const;
    const observed = await observedOf(aSituation({ registration, ledger, ltiKeys: [] }));
    expect(observed?.absent).to.deep.equal([{ kid: 'kid-1' }]);
  });

  it('does not look for a revoked key ID that no key of the current ledger has', async () => {
    const object = anLtiRegistration({ revokedKeyIDs: ['kid-l'] });
    const registration = { kind: 'present', object, registration: readRegistration(object) } as const;
    expect((await observedOf(aSituation({ registration })))?.absent).to.deep.equal([]);
  });

  it('The observation looks for a revoked key until it is known to be absent', async () => {
    const revokedAt = new FakeClock().now().getTime();
    const observed = await observedKeys(aKey(1, 'Revoked', { revokedAt }), aKey(2, 'Active'));
    expect(observed?.present.map(({ kid }) => kid)).to.deep.equal(['kid-2']);
    expect(observed?.absent.map(({ kid }) => kid)).to.deep.equal(['kid-1']);
  });
});
