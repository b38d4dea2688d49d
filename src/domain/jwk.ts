/** The public half of an RSA signing key, with exactly the members that are served (RFC 7517 §4, RFC 7518 §6.3.1). */
export interface PublicJwk {
  readonly kty: 'RSA';
  readonly use: 'sig';
  readonly alg: 'RS256';
  /** RFC 7638 SHA-256 thumbprint, base64url, 43 characters. */
  readonly kid: string;
  /** Modulus, base64url without padding. */
  readonly n: string;
  /** Public exponent, base64url without padding. */
  readonly e: string;
}

export type KeyState = 'Next' | 'Active' | 'Retiring' | 'Retired' | 'Revoked';

/** States whose public half is in the documents. */
export const publishedStates: ReadonlySet<KeyState> = new Set(['Next', 'Active', 'Retiring']);
