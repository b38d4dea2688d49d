import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { publishedStates } from '../../../src/domain/jwk.ts';
import { isFinal, keyStates, mayMove, movesTo } from '../../../src/domain/key-state.ts';

const crd = readFileSync(new URL('../../../crds/ltikeys.yaml', import.meta.url), 'utf8');

/** The moves that the transition rule of the schema names. */
function movesOfSchema(): Set<string> {
  const rules = crd.matchAll(/oldSelf == '(\w+)' && self in \[([^\]]+)\]/g);
  return new Set([...rules].flatMap(([, from, to]) => [...to!.matchAll(/\w+/g)].map(([state]) => `${from} ${state}`)));
}

describe('the states of a key', () => {
  it('may follow each other exactly as the transition rule of the schema says', () => {
    const allowed = movesOfSchema();
    expect(allowed.size).to.equal(8);
    for (const from of keyStates) {
      for (const to of keyStates) expect(mayMove(from, to), `${from} ${to}`).to.equal(allowed.has(`${from} ${to}`));
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

  it('are never shown by a move that the schema refuses', () => {
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
