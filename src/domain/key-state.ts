import type { KeyState } from './jwk.ts';

/**
 *  Next ──► Active ──► Retiring ──► Retired          any of Next, Active, Retiring ──► Revoked
 *    └──────────────────────────────►                Retiring ──► Active  (fallback when the newer key is revoked)
 */
const moves: Readonly<Record<KeyState, readonly KeyState[]>> = {
  Next: ['Active', 'Retired', 'Revoked'],
  Active: ['Retiring', 'Revoked'],
  Retiring: ['Active', 'Retired', 'Revoked'],
  Retired: [],
  Revoked: [],
};

export const keyStates = Object.keys(moves) as readonly KeyState[];

export function mayMove(from: KeyState, to: KeyState): boolean {
  return moves[from].includes(to);
}

/** A key in such a state is not published and its private half is destroyed. */
export function isFinal(state: KeyState): boolean {
  return moves[state].length === 0;
}

/**
 * The states to show one after another so that an object in state `from` comes to show `to` by legal moves only: what
 * shows the ledger may have missed a step of it. `undefined` first where only a fresh start leads there.
 */
export function movesTo(from: KeyState | undefined, to: KeyState): readonly (KeyState | undefined)[] {
  if (from === undefined || from === to || mayMove(from, to)) return [to];
  const between = moves[from].find((state) => mayMove(state, to));
  return between ? [between, to] : [undefined, to];
}
