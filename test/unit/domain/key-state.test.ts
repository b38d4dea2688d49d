import { expect } from 'chai';
import { publishedStates } from '../../../src/domain/jwk.ts';
import { isFinal, keyStates, mayMove, movesTo } from '../../../src/domain/key-state.ts';

/** The arrows of the diagram in src/domain/key-state.ts. */
const arrows: ReadonlySet<string> = new Set([
  'Next Active',
  'Next Retired',
  'Next Revoked',
  'Active Retiring',
  'Active Revoked',
  'Retiring Active',
  'Retiring Retired',
  'Retiring Revoked',
]);

describe('the states of a key', () => {
  it('follow each other along the arrows of the diagram and no others', () => {
    for (const from of keyStates) {
      for (const to of keyStates) expect(mayMove(from, to), `${from} ${to}`).to.equal(arrows.has(`${from} ${to}`));
    }
  });

  it('are final exactly where the key is not published', () => {
    for (const state of keyStates) expect(isFinal(state), state).to.equal(!publishedStates.has(state));
  });

  for (const [from, to, shown] of [
    [undefined, 'Retired', ['Retired']],
    ['Next', 'Next', ['Next']],
    ['Next', 'Active', ['Active']],
    ['Next', 'Retiring', ['Active', 'Retiring']],
    ['Active', 'Retired', ['Retiring', 'Retired']],
    ['Retiring', 'Active', ['Active']],
    ['Active', 'Next', [undefined, 'Next']],
    ['Retired', 'Active', [undefined, 'Active']],
    ['Revoked', 'Retired', [undefined, 'Retired']],
  ] as const) {
    it(`are shown from ${from ?? 'none'} to ${to} by way of ${shown.map((state) => state ?? 'none').join(', ')}`, () => {
      expect(movesTo(from, to)).to.deep.equal(shown);
    });
  }

  it('are never shown by a move that is none', () => {
    for (const from of [undefined, ...keyStates]) {
      for (const to of keyStates) {
        const shown = [from, ...movesTo(from, to)];
        expect(shown.at(-1)).to.equal(to);
        for (const [index, state] of shown.entries()) {
          const before = shown[index - 1];
          if (before !== undefined && state !== undefined && before !== state)
            expect(mayMove(before, state), `${before} ${state}`).to.equal(true);
        }
      }
    }
  });
});
