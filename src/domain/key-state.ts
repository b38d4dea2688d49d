export type KeyState = 'Next' | 'Active' | 'Retiring' | 'Retired' | 'Revoked';

/** States whose public half is in the documents. */
export const publishedStates: ReadonlySet<KeyState> = new Set(['Next', 'Active', 'Retiring']);

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

/** A key in a final state is not published, and its private half is destroyed. */
export function isFinal(state: KeyState): boolean {
  return moves[state].length === 0;
}
