import { createLocalJWKSet, decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose';
import type { PublicJwk } from '../domain/public-jwk.ts';

/**
 * The token endpoint of a platform that is as strict as the strictest: `kid` is required (Canvas), `aud` is one string (Brightspace),
 * an assertion lives for ten minutes at most (Sakai), and `jti` is used once (LTI Security Framework 1.0 §4.1.1, RFC 7523 §3).
 */
export interface TokenEndpointOptions {
  readonly clientID: string;
  readonly audience: string;
  /** The keys that platforms find now. */
  readonly published: () => readonly PublicJwk[];
  /** Called with one sentence about each request. */
  readonly said: (text: string) => void;
}

export interface TokenAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const longestLifetime = 600;
/** So short that a tool that keeps access tokens signs again after each rotation. */
const expiresIn = 5;
const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

export class TokenEndpoint {
  readonly #options: TokenEndpointOptions;
  readonly #usedIDs = new Set<string>();

  constructor(options: TokenEndpointOptions) {
    this.#options = options;
  }

  /** `form`: the parameters of the request. */
  async answer(form: Readonly<Record<string, unknown>>): Promise<TokenAnswer> {
    const { grant_type, client_assertion_type, client_assertion, scope } = form;
    if (grant_type !== 'client_credentials') {
      return this.#refuse('unsupported_grant_type', 'grant_type is not client_credentials');
    }
    if (client_assertion_type !== jwtBearer || typeof client_assertion !== 'string') {
      return this.#refuse('invalid_client', `it needs client_assertion, and client_assertion_type ${jwtBearer}`);
    }
    const fault = await this.#faultOf(client_assertion);
    if (fault !== undefined) return this.#refuse('invalid_client', fault);
    this.#options.said(
      `The token endpoint accepted a client assertion of ${decodeProtectedHeader(client_assertion).kid}`,
    );
    const token = { access_token: 'development', token_type: 'Bearer', expires_in: expiresIn };
    return { status: 200, body: { ...token, ...(typeof scope === 'string' ? { scope } : {}) } };
  }

  #refuse(error: string, description: string): TokenAnswer {
    this.#options.said(`The token endpoint refused a request: ${description}`);
    return { status: error === 'invalid_client' ? 401 : 400, body: { error, error_description: description } };
  }

  async #faultOf(assertion: string): Promise<string | undefined> {
    const keys = this.#options.published();
    let kid: string | undefined;
    try {
      ({ kid } = decodeProtectedHeader(assertion));
    } catch {
      return 'client_assertion is not a signed JWT';
    }
    if (kid === undefined) return 'its header has no kid';
    if (!keys.some((key) => key.kid === kid))
      return 'its kid is not in the JWKS: the tool signs with a former or another key';
    try {
      const { clientID, audience } = this.#options;
      const { payload } = await jwtVerify(assertion, createLocalJWKSet({ keys: [...keys] }), {
        algorithms: ['RS256'],
        issuer: clientID,
        subject: clientID,
        audience,
        requiredClaims: ['iat', 'exp', 'jti'],
      });
      return this.#faultOfClaims(payload);
    } catch (error) {
      return this.#described(error);
    }
  }

  #faultOfClaims({ aud, iat = 0, exp = 0, jti = '' }: JWTPayload): string | undefined {
    if (Array.isArray(aud)) return 'aud is an array, which some platforms refuse: send one string';
    if (exp - iat > longestLifetime)
      return `it lives for ${exp - iat} seconds: Sakai refuses more than ${longestLifetime}`;
    if (this.#usedIDs.has(jti)) return 'its jti was used before';
    this.#usedIDs.add(jti);
    return undefined;
  }

  #described(error: unknown): string {
    const { clientID, audience } = this.#options;
    const expected: Readonly<Record<string, string>> = { iss: clientID, sub: clientID, aud: audience };
    const claim = error instanceof errors.JWTClaimValidationFailed ? expected[error.claim] : undefined;
    const message = error instanceof errors.JOSEError ? error.message : 'it cannot be verified';
    return claim === undefined ? message : `${message}: expected ${claim}`;
  }
}
