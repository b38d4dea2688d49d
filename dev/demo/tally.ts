/** One signed token and what became of it. */
export interface TokenRecord {
  readonly keyID: string;
  /** Milliseconds since the start of the demo. */
  readonly signedAt: number;
  readonly outcome: 'verified' | 'rejected' | 'refused';
}

/** Counts tokens. One is verified when every verifier accepts it. */
export class Tally {
  readonly tokens: TokenRecord[] = [];
  readonly #revoked = new Set<string>();

  /** From now on, a refused token of this key does not count as a rejection. */
  expectRefusalOf(keyID: string): void {
    this.#revoked.add(keyID);
  }

  /** Returns the outcome. */
  note(keyID: string, signedAt: number, accepted: boolean): TokenRecord['outcome'] {
    const outcome = accepted ? 'verified' : this.#revoked.has(keyID) ? 'refused' : 'rejected';
    this.tokens.push({ keyID, signedAt, outcome });
    return outcome;
  }

  get signed(): number {
    return this.tokens.length;
  }

  total(outcome: TokenRecord['outcome']): number {
    return this.tokens.filter((token) => token.outcome === outcome).length;
  }

  /** Tokens signed with the key. */
  count(keyID: string): number {
    return this.signatures(keyID).length;
  }

  /** When the key signed, in order. */
  signatures(keyID: string): readonly number[] {
    return this.tokens.filter((token) => token.keyID === keyID).map(({ signedAt }) => signedAt);
  }

  latestKeyID(): string | undefined {
    return this.tokens.at(-1)?.keyID;
  }
}
