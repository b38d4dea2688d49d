import { expect } from 'chai';
import {
  activeKey,
  addKey,
  changeKey,
  emptyLedger,
  keysIn,
  liveKeys,
  nextKey,
  withoutActiveKey,
} from '../../../src/domain/ledger.ts';
import { keyStates, mayMove } from '../../../src/domain/key-state.ts';
import { aKey, aLedger, epoch, keyFacts } from '../../builders/ledger.ts';

describe('The ledger', () => {
  it('The ledger gives each key the next revision, even after older records were pruned', () => {
    const first = addKey(emptyLedger('gradebook', 'canvas'), keyFacts('a'), 'Initial', epoch);
    expect(first.keys).to.have.length(1);
    expect(first.keys[0]).to.deep.include({
      revision: 1,
      keyID: 'a',
      state: 'Next',
      cause: 'Initial',
      createdAt: epoch,
    });
    const later = addKey(aLedger([], { highestRevision: 9 }), keyFacts('b'), 'Trigger', epoch);
    expect(later).to.include({ highestRevision: 10 });
    expect(later.keys[0]).to.include({ revision: 10, cause: 'Trigger' });
  });

  it('The ledger copies only its own members of a key, and nothing private', () => {
    const facts = { ...keyFacts('a'), privateKey: 'secret' };
    expect(JSON.stringify(addKey(aLedger([]), facts, 'Initial', epoch))).not.to.include('secret');
  });

  it('The ledger changes one key only, and removes members that are set to undefined', () => {
    const ledger = aLedger([aKey(1, 'Retiring', { retireAt: epoch }), aKey(2, 'Active')]);
    const changed = changeKey(ledger, 'kid-1', { retireAt: undefined, stoppedSigningAt: epoch });
    expect(changed.keys[0]).not.to.have.property('retireAt');
    expect(changed.keys[0]).to.include({ stoppedSigningAt: epoch });
    expect(changed.keys[1]).to.equal(ledger.keys[1]);
    expect(ledger.keys[0]).to.include({ retireAt: epoch });
  });

  for (const from of keyStates) {
    for (const to of keyStates.filter((state) => state !== from)) {
      const change = (): unknown => changeKey(aLedger([aKey(1, from)]), 'kid-1', { state: to });
      if (mayMove(from, to)) it(`lets a key move from ${from} to ${to}`, () => expect(change).not.to.throw());
      else {
        it(`The ledger throws if a key would change from ${from} to ${to}`, () => {
          expect(change).to.throw(`key kid-1 may not move from ${from} to ${to}`);
        });
      }
    }
  }

  it('The ledger finds the signing key by its ID, the next key and the live keys by their states', () => {
    const keys = (['Retired', 'Revoked', 'Retiring', 'Active', 'Next'] as const).map((state, at) =>
      aKey(at + 1, state),
    );
    const ledger = aLedger(keys);
    expect(activeKey(ledger)).to.include({ revision: 4 });
    expect(nextKey(ledger)).to.include({ revision: 5 });
    expect(keysIn(ledger, 'Retiring').map(({ revision }) => revision)).to.deep.equal([3]);
    expect(liveKeys(ledger).map(({ revision }) => revision)).to.deep.equal([3, 4, 5]);
    expect(activeKey(withoutActiveKey(ledger))).to.equal(undefined);
    expect(withoutActiveKey(ledger)).not.to.have.property('activeKeyID');
  });
});
