import { expect } from 'chai';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import type { KeyPair } from '../../../src/crypto/key-pair.ts';
import {
  check,
  type KeyDirectory,
  KeyDirectoryError,
  openKeyDirectory,
  signClientAssertion,
  signDeepLinkingResponse,
  toolJwks,
} from '../../../tool/typescript/src/tool-keys.ts';
import { files, keyPairs, Mount, registration } from '../../fixtures/mount.ts';

describe('What a tool signs with its key directory', () => {
  let mount: Mount;
  let directory: KeyDirectory;
  let key: KeyPair;
  let other: KeyPair;

  before(async () => {
    [key, other] = await keyPairs;
  });
  beforeEach(async () => {
    mount = new Mount();
    mount.swap(files(key));
    directory = await openKeyDirectory(mount.path);
  });
  afterEach(() => {
    directory.close();
    mount.remove();
  });

  const verified = (token: string, audience: string) =>
    jwtVerify(token, createLocalJWKSet({ keys: [...toolJwks(directory).keys] }), { audience, typ: 'JWT' });
  const withRegistration = async (json: object): Promise<void> => {
    mount.swap({ ...files(key), 'registration.json': JSON.stringify(json) });
    await directory.refresh();
  };

  it('A client assertion has the claims that the Security Framework requires, and the delivered key ID', async () => {
    const token = await signClientAssertion(directory);
    const { payload, protectedHeader } = await verified(token, registration.token_audience);
    expect(protectedHeader).to.deep.equal({ alg: 'RS256', typ: 'JWT', kid: key.keyID });
    expect(payload).to.include({ iss: registration.client_id, sub: registration.client_id });
    expect(payload.aud, 'one string').to.equal(registration.token_audience);
    expect(payload.jti).to.match(/^[\da-f-]{36}$/);
    expect(Number(payload.exp) - Number(payload.iat)).to.equal(60);
  });

  it('No two client assertions have the same jti', async () => {
    const tokens = await Promise.all(Array.from({ length: 20 }, () => signClientAssertion(directory)));
    const ids = await Promise.all(
      tokens.map(async (token) => (await verified(token, registration.token_audience)).payload.jti),
    );
    expect(new Set(ids).size).to.equal(20);
  });

  it('The audience of a client assertion is the option, else token_audience, else token_endpoint', async () => {
    await verified(await signClientAssertion(directory, { audience: 'urn:other' }), 'urn:other');
    const { token_audience: _, ...without } = registration;
    await withRegistration(without);
    await verified(await signClientAssertion(directory), registration.token_endpoint);
  });

  it('A registration without an issuer gives a typed error for deep linking, and client assertions can be signed', async () => {
    const { issuer: _, ...without } = registration;
    await withRegistration(without);
    const response = signDeepLinkingResponse(directory, { deploymentID: '1', contentItems: [] });
    const error: unknown = await response.catch((e: unknown) => e);
    expect(error).to.be.instanceOf(KeyDirectoryError).and.to.include({ code: 'RegistrationIncomplete' });
    expect((error as Error).message).to.include('spec.issuer');
    await verified(await signClientAssertion(directory), registration.token_audience);
  });

  it('A registration without a client ID or an audience gives a typed error with the remedy', async () => {
    for (const [json, field] of [
      [{ issuer: registration.issuer, token_endpoint: registration.token_endpoint }, 'spec.clientID'],
      [{ issuer: registration.issuer, client_id: '42' }, 'spec.tokenAudience'],
    ] as const) {
      await withRegistration(json);
      const error: unknown = await signClientAssertion(directory).catch((e: unknown) => e);
      expect(error).to.be.instanceOf(KeyDirectoryError).and.to.include({ code: 'RegistrationIncomplete' });
      expect((error as Error).message).to.include(field);
    }
  });

  it('A lifetime that platforms refuse is refused', async () => {
    for (const lifetime of [0, -1, 601, NaN]) {
      const error: unknown = await signClientAssertion(directory, { lifetime }).catch((e: unknown) => e);
      expect(error, String(lifetime)).to.be.instanceOf(RangeError);
    }
  });

  it('A deep-linking response has the claims of Deep Linking 2.0 §4.5 and echoes data', async () => {
    const contentItems = [{ type: 'ltiResourceLink', url: 'https://tool.example.org/quiz' }];
    const claims = { 'https://purl.imsglobal.org/spec/lti-dl/claim/msg': 'Added', iss: 'ignored' };
    const response = { deploymentID: '1:abc', contentItems, data: 'csrf', claims };
    const { payload } = await verified(await signDeepLinkingResponse(directory, response), registration.issuer);
    expect(payload).to.deep.include({
      iss: registration.client_id,
      aud: registration.issuer,
      'https://purl.imsglobal.org/spec/lti/claim/message_type': 'LtiDeepLinkingResponse',
      'https://purl.imsglobal.org/spec/lti/claim/version': '1.3.0',
      'https://purl.imsglobal.org/spec/lti/claim/deployment_id': '1:abc',
      'https://purl.imsglobal.org/spec/lti-dl/claim/content_items': contentItems,
      'https://purl.imsglobal.org/spec/lti-dl/claim/data': 'csrf',
      'https://purl.imsglobal.org/spec/lti-dl/claim/msg': 'Added',
    });
    expect(payload['nonce']).to.be.a('string');
  });

  it('After a rotation, tokens have the new key and its ID', async () => {
    mount.swap(files(other));
    await directory.refresh();
    const token = await signClientAssertion(directory);
    expect(decodeProtectedHeader(token).kid).to.equal(other.keyID);
    await verified(token, registration.token_audience);
  });

  describe('Before a rotation', () => {
    const serving =
      (body: unknown, status = 200): typeof fetch =>
      async () =>
        new Response(JSON.stringify(body), { status });
    const problems = async (fetch: typeof globalThis.fetch): Promise<readonly string[]> =>
      (await check(directory, { fetch })).map(({ problem }) => problem);

    it('The check finds nothing if the served keys verify what the tool signs', async () => {
      expect(await check(directory, { fetch: serving({ keys: [key.publicJWK] }) })).to.deep.equal([]);
    });

    it('The check finds that the key is not served', async () => {
      expect(await problems(serving({ keys: [other.publicJWK] }))).to.deep.equal(['KeyNotServed']);
      const foreign = { ...other.publicJWK, kid: key.keyID };
      expect(await problems(serving({ keys: [foreign] })), 'another key under this ID').to.deep.equal(['KeyNotServed']);
    });

    it('The check finds that the JWKS cannot be fetched', async () => {
      expect(await problems(serving({}, 503))).to.deep.equal(['JwksUnreachable']);
      expect(await problems(() => Promise.reject(new TypeError('fetch failed')))).to.deep.equal(['JwksUnreachable']);
      expect(await problems(serving('no JWKS'))).to.deep.equal(['KeyNotServed']);
    });

    it('The check finds a registration without a JWKS URL, and one that cannot sign', async () => {
      const { tool_jwks_uri: _, ...without } = registration;
      await withRegistration(without);
      expect(await problems(serving({}))).to.deep.equal(['NoJwksURL']);
      await withRegistration({ issuer: registration.issuer });
      expect(await problems(serving({}))).to.deep.equal(['CannotSign']);
    });

    it('The check finds a fault of the directory and a directory that no kubelet updates', async () => {
      mount.remove();
      expect(await problems(serving({ keys: [key.publicJWK] }))).to.deep.equal(['Fault', 'NotAMount']);
    });
  });
});
