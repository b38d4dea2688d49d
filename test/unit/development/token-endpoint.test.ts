import { expect } from 'chai';
import { type JWTPayload, SignJWT } from 'jose';
import { generateKeyPair, type KeyPair } from '../../../src/crypto/key-pair.ts';
import { TokenEndpoint } from '../../../src/development/token-endpoint.ts';

const audience = 'http://127.0.0.1:8480/token';
const claimsAt = (now: number) => ({ iss: 'tool', sub: 'tool', aud: audience, jti: 'a', iat: now, exp: now + 60 });

describe('The token endpoint of kubectl lti dev', () => {
  let served: KeyPair;
  let former: KeyPair;
  let said: string[];
  let endpoint: TokenEndpoint;
  /** Seconds, as each test begins: the file is loaded long before. */
  let now: number;
  let claims: ReturnType<typeof claimsAt>;

  before(async () => {
    [served, former] = await Promise.all([generateKeyPair(2048), generateKeyPair(2048)]);
  });
  beforeEach(() => {
    now = Math.floor(Date.now() / 1000);
    claims = claimsAt(now);
    said = [];
    const published = () => [served.publicJWK];
    endpoint = new TokenEndpoint({ clientID: 'tool', audience, published, said: (text) => said.push(text) });
  });

  const signed = (payload: JWTPayload, kid: string | undefined = served.keyID, key = served): Promise<string> =>
    new SignJWT(payload).setProtectedHeader({ alg: 'RS256', ...(kid ? { kid } : {}) }).sign(key.privateKey);
  const withoutID = (): JWTPayload => {
    const { jti: _, ...rest } = claims;
    return rest;
  };
  const form = (client_assertion: string): Record<string, string> => ({
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion,
    scope: 'scope',
  });

  it('A client assertion with a published key is accepted, once', async () => {
    const request = form(await signed(claims));
    const token = { access_token: 'development', token_type: 'Bearer', expires_in: 5, scope: 'scope' };
    expect(await endpoint.answer(request)).to.deep.equal({ status: 200, body: token });
    expect((await endpoint.answer(request)).body).to.include({ error_description: 'its jti was used before' });
    expect(said).to.deep.equal([
      `The token endpoint accepted a client assertion of ${served.keyID}`,
      'The token endpoint refused a request: its jti was used before',
    ]);
  });

  const refused: readonly (readonly [string, () => Promise<string> | string, RegExp])[] = [
    ['without kid', () => signed(claims, ''), /its header has no kid/],
    ['with a former key', () => signed(claims, former.keyID, former), /kid is not in the JWKS/],
    ['with the kid of another key', () => signed(claims, served.keyID, former), /signature verification failed/],
    ['for another audience', () => signed({ ...claims, aud: 'urn:other' }), /"aud".*: expected http:\/\/127\.0\.0\.1/],
    ['with the audience in an array', () => signed({ ...claims, aud: [audience] }), /aud is an array/],
    ['of another client', () => signed({ ...claims, iss: 'other' }), /"iss".*: expected tool/],
    ['that lives too long', () => signed({ ...claims, exp: now + 3600 }), /it lives for 3600 seconds/],
    ['that has expired', () => signed({ ...claims, exp: now - 60 }), /"exp" claim timestamp check failed/],
    ['without jti', () => signed(withoutID()), /missing required "jti" claim/],
    ['that is no JWT', () => 'secret', /client_assertion is not a signed JWT/],
  ];
  for (const [what, assertion, why] of refused) {
    it(`A client assertion ${what} is refused, and the answer says why`, async () => {
      const { status, body } = await endpoint.answer(form(await assertion()));
      expect(status).to.equal(401);
      expect(body['error']).to.equal('invalid_client');
      expect(body['error_description']).to.match(why);
      expect(said).to.deep.equal([`The token endpoint refused a request: ${String(body['error_description'])}`]);
    });
  }

  it('A request without a client assertion or with another grant type is refused', async () => {
    expect(await endpoint.answer({ grant_type: 'client_credentials' })).to.include({ status: 401 });
    const other = await endpoint.answer({ ...form('x'), grant_type: 'password' });
    expect(other).to.deep.include({ status: 400 }).and.have.nested.property('body.error', 'unsupported_grant_type');
  });
});
