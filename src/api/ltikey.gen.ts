// Generated from crds/ltikeys.yaml by `npm run generate`. Do not edit.

/**
 * The facts about the key. None of them ever changes.
 */
export interface LtiKeySpec {
  /**
   * The registration the key belongs to, in the same namespace.
   */
  readonly registrationRef: {
    /**
     * The name of the LtiRegistration.
     */
    readonly name: string;
  };
  /**
   * Which of the registration's keys this is, counted from 1. No number is used twice.
   */
  readonly revision: number;
  /**
   * The key ID, which is the `kid` in the header of every token the key signs: the RFC 7638 SHA-256 thumbprint of the public key, or the ID an imported key came with.
   */
  readonly keyID: string;
  /**
   * The signature algorithm the key is for.
   */
  readonly algorithm: 'RS256';
  /**
   * The RSA modulus in bits. An imported key may have other sizes than the operator makes.
   */
  readonly size: number;
  /**
   * The public half as a JSON Web Key (RFC 7517), with exactly the members that platforms are served. There is no place here for a private member.
   */
  readonly publicJWK: {
    /**
     * The key type.
     */
    readonly kty: 'RSA';
    /**
     * What the key is for; sig means signatures.
     */
    readonly use: 'sig';
    /**
     * The signature algorithm.
     */
    readonly alg: 'RS256';
    /**
     * The key ID.
     */
    readonly kid: string;
    /**
     * The RSA modulus, base64url without padding.
     */
    readonly n: string;
    /**
     * The RSA public exponent, base64url without padding; AQAB is 65537.
     */
    readonly e: string;
  };
}

/**
 * Where the key is in its life, copied from the ledger. Only the operator writes here.
 */
export interface LtiKeyStatus {
  /**
   * Next: published, does not sign yet. Active: signs. Retiring: signs no more, still published until retireAt. Retired and Revoked: not published, private half destroyed.
   */
  readonly state?: 'Next' | 'Active' | 'Retiring' | 'Retired' | 'Revoked';
  /**
   * Whether the key is only served, because tokens of a former system may still be on their way: the operator never had its private half.
   */
  readonly verifyOnly?: boolean;
  /**
   * When the key pair was made.
   */
  readonly createdAt?: string;
  /**
   * When every replica was first observed serving it.
   */
  readonly publishedAt?: string;
  /**
   * When it began to sign.
   */
  readonly activatedAt?: string;
  /**
   * When it is to leave the JWKS. Set once its successor signs.
   */
  readonly retireAt?: string;
  /**
   * When it left the JWKS at the end of its life and its private half was destroyed.
   */
  readonly retiredAt?: string;
  /**
   * When it was revoked and its private half was destroyed.
   */
  readonly revokedAt?: string;
  /**
   * The key-encryption key its private half is sealed under. Absent once that is destroyed.
   */
  readonly kekID?: string;
  /**
   * The serial of the ledger this status was written from. It only grows.
   */
  readonly ledgerSerial?: number;
  /**
   * The state in detail, one entry per type.
   */
  readonly conditions?: readonly Condition[];
}
/**
 * One aspect of the state.
 */
export interface Condition {
  /**
   * Which aspect this is about, in CamelCase.
   */
  readonly type: string;
  /**
   * Whether it is so.
   */
  readonly status: 'True' | 'False' | 'Unknown';
  /**
   * The metadata.generation this condition was set for.
   */
  readonly observedGeneration?: number;
  /**
   * When the status last changed from one value to another.
   */
  readonly lastTransitionTime: string;
  /**
   * The cause in one CamelCase word, for programs.
   */
  readonly reason: string;
  /**
   * The cause and, where there is one, the remedy, for people.
   */
  readonly message: string;
}
