// Generated from crds/ltikeys.yaml by `npm run generate`. Do not edit.

/**
 * Facts about the key. They never change.
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
   * The number of the key within its registration, counted from 1. No number is used twice.
   */
  readonly revision: number;
  /**
   * The key ID, the `kid` in the header of every token that the key signs: the RFC 7638 SHA-256 thumbprint of the public key, or the original ID of an imported key.
   */
  readonly keyID: string;
  /**
   * The signature algorithm of the key.
   */
  readonly algorithm: 'RS256';
  /**
   * The size of the RSA modulus in bits, which is 2048, 3072 or 4096.
   */
  readonly size: number;
  /**
   * The public key as a JSON Web Key (RFC 7517), with exactly the members that the JWKS contains. The schema has no private members.
   */
  readonly publicJWK: {
    /**
     * The key type.
     */
    readonly kty: 'RSA';
    /**
     * The intended use of the key; sig means signatures.
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
 * The state of the key, copied from the ledger. Only the operator writes it.
 */
export interface LtiKeyStatus {
  /**
   * Next: published, does not sign yet. Active: signs. Retiring: no longer signs, published until retireAt. Retired and Revoked: not published, private key destroyed.
   */
  readonly state?: 'Next' | 'Active' | 'Retiring' | 'Retired' | 'Revoked';
  /**
   * True for the public key of a former system, which is published only to verify tokens that this system signed. The operator never had its private key.
   */
  readonly verifyOnly?: boolean;
  /**
   * When the key pair was created.
   */
  readonly createdAt?: string;
  /**
   * When every ready replica was first observed serving the key.
   */
  readonly publishedAt?: string;
  /**
   * When the key became the signing key.
   */
  readonly activatedAt?: string;
  /**
   * When the key leaves the JWKS. Set once its successor was delivered, or signs if there is no delivery Secret.
   */
  readonly retireAt?: string;
  /**
   * When the key left the JWKS at the end of its overlap and its private key was destroyed.
   */
  readonly retiredAt?: string;
  /**
   * When the key was revoked and its private key was destroyed.
   */
  readonly revokedAt?: string;
  /**
   * The ID of the key-encryption key (KEK) under which the private key is sealed. Absent once the private key is destroyed.
   */
  readonly kekID?: string;
  /**
   * The serial of the ledger from which this status was written. It only increases.
   */
  readonly ledgerSerial?: number;
  /**
   * The details of the state, one entry per type.
   */
  readonly conditions?: readonly Condition[];
}
/**
 * One aspect of the state.
 */
export interface Condition {
  /**
   * The aspect that the condition describes, in CamelCase.
   */
  readonly type: string;
  /**
   * The status of the condition.
   */
  readonly status: 'True' | 'False' | 'Unknown';
  /**
   * The metadata.generation for which the condition was set.
   */
  readonly observedGeneration?: number;
  /**
   * When the status of the condition last changed.
   */
  readonly lastTransitionTime: string;
  /**
   * The cause as one CamelCase word, for programs.
   */
  readonly reason: string;
  /**
   * The cause and, if there is one, the remedy, for people.
   */
  readonly message: string;
}
