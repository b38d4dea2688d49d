import { expect } from 'chai';
import { isFinal, keyStates, mayMove, publishedStates } from '../../../src/domain/key-state.ts';

describe('The states of a key', () => {
  const allowed: ReadonlySet<string> = new Set([
    'Next Active',
    'Next Retired',
    'Next Revoked',
    'Active Retiring',
    'Active Revoked',
    'Retiring Active',
    'Retiring Retired',
    'Retiring Revoked',
  ]);

  it('The states change only as the diagram shows', () => {
    for (const from of keyStates) {
      for (const to of keyStates) expect(mayMove(from, to), `${from} ${to}`).to.equal(allowed.has(`${from} ${to}`));
    }
  });

  it('The states are final if and only if the key is not published', () => {
    for (const state of keyStates) expect(isFinal(state), state).to.equal(!publishedStates.has(state));
  });
});
