import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import type { KeyPair } from '../../../src/crypto/key-pair.ts';
import {
  type Delivery,
  type KeyDirectory,
  KeyDirectoryError,
  openKeyDirectory,
  predecessorWasRevoked,
  refreshPlatformCache,
} from '../../../tool/typescript/src/tool-keys.ts';
import { files, keyPairs, Mount, registration } from '../../fixtures/mount.ts';

/** Caches a key set as Moodle does: until a token does not verify with it. */
class CachingPlatform {
  served: JSONWebKeySet = { keys: [] };
  fetches = 0;
  grantsScope = true;
  server!: Server;
  #held: JSONWebKeySet = { keys: [] };

  async start(): Promise<void> {
    this.server = createServer((request, response) => void this.#answer(request, response));
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
  }

  get tokenEndpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/token`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(await text(request));
    const known = await this.accepts(form.get('client_assertion') ?? '');
    const error = known ? 'invalid_scope' : 'invalid_client';
    const granted = known && this.grantsScope;
    response.writeHead(granted ? 200 : 400, { 'content-type': 'application/json' });
    response.end(JSON.stringify(granted ? { access_token: 'x', scope: form.get('scope') } : { error }));
  }

  async accepts(token: string): Promise<boolean> {
    if (await verifies(token, this.#held)) return true;
    this.fetches += 1;
    if (!(await verifies(token, this.served))) return false;
    this.#held = this.served;
    return true;
  }
}

function verifies(token: string, jwks: JSONWebKeySet): Promise<boolean> {
  return jwtVerify(token, createLocalJWKSet(jwks), { audience: registration.token_audience }).then(
    () => true,
    () => false,
  );
}

describe('A tool after the revocation of its key', () => {
  let first: KeyPair;
  let second: KeyPair;
  let mount: Mount;
  let keys: KeyDirectory;
  let platform: CachingPlatform;

  const deliver = async (key: KeyPair, published: readonly KeyPair[]): Promise<void> => {
    const json = JSON.stringify({ ...registration, token_endpoint: platform.tokenEndpoint });
    const jwks = JSON.stringify({ keys: published.map(({ publicJWK }) => publicJWK) });
    mount.swap({ ...files(key), 'registration.json': json, 'jwks.json': jwks });
    platform.served = JSON.parse(jwks) as JSONWebKeySet;
    await keys?.refresh();
  };

  before(async () => {
    [first, second] = await keyPairs;
  });
  beforeEach(async () => {
    mount = new Mount();
    platform = new CachingPlatform();
    await platform.start();
    await deliver(first, [first]);
    keys = await openKeyDirectory(mount.path);
  });
  afterEach(() => {
    keys.close();
    platform.server.close();
    mount.remove();
  });

  it('A tool sees a revocation in that the former key is no longer published, and none in a rotation', async () => {
    const before = keys.current();
    await deliver(second, [first, second]);
    expect(predecessorWasRevoked(keys.current(), before), 'rotation').to.equal(false);
    await deliver(second, [second]);
    expect(predecessorWasRevoked(keys.current(), before), 'revocation').to.equal(true);
    expect(predecessorWasRevoked(keys.current(), keys.current()), 'another change').to.equal(false);
  });

  it('A tool makes a platform that caches drop the revoked key with one token request', async () => {
    const { refreshed, leaked } = await new Promise<{ refreshed: unknown; leaked: string }>((resolve, reject) => {
      keys.onChange((current: Delivery, previous: Delivery) => {
        if (!predecessorWasRevoked(current, previous)) return;
        refreshPlatformCache(keys).then((answer) => resolve({ refreshed: answer, leaked: token }), reject);
      });
      let token = '';
      void (async () => {
        expect(await refreshPlatformCache(keys)).to.include({ accepted: true });
        const { signClientAssertion } = await import('../../../tool/typescript/src/sign.ts');
        token = await signClientAssertion(keys);
        platform.served = { keys: [{ ...second.publicJWK }] };
        expect(await platform.accepts(token), 'the platform holds the removed key').to.equal(true);
        await deliver(second, [second]);
      })().catch(reject);
    });
    expect(refreshed).to.deep.equal({ keyID: second.keyID, accepted: true, status: 200 });
    expect(decodeProtectedHeader(leaked).kid).to.equal(first.keyID);
    expect(await platform.accepts(leaked)).to.equal(false);
  });

  it('A tool counts a refused scope as verified, and a refused client as not', async () => {
    platform.grantsScope = false;
    expect(await refreshPlatformCache(keys)).to.deep.equal({ keyID: first.keyID, accepted: true, status: 400 });
    platform.served = { keys: [{ ...second.publicJWK }] };
    await deliver(second, [first, second]);
    platform.served = { keys: [{ ...first.publicJWK }] };
    expect(await refreshPlatformCache(keys)).to.deep.equal({ keyID: second.keyID, accepted: false, status: 400 });
  });

  it('A tool gets a typed error without a token endpoint, and an error without an answer', async () => {
    const { token_endpoint: _, ...incomplete } = registration;
    mount.swap({ ...files(first), 'registration.json': JSON.stringify(incomplete) });
    await keys.refresh();
    const error: unknown = await refreshPlatformCache(keys).catch((e: unknown) => e);
    expect(error).to.be.instanceOf(KeyDirectoryError).and.include({ code: 'RegistrationIncomplete' });
    await deliver(first, [first]);
    const silent = (() => new Promise(() => undefined)) as typeof fetch;
    const timed = ((url: string, init: RequestInit) =>
      Promise.race([
        silent(url),
        new Promise((__, reject) => init.signal?.addEventListener('abort', reject)),
      ])) as typeof fetch;
    expect(await refreshPlatformCache(keys, { fetch: timed, timeout: 10 }).catch(() => 'rejected')).to.equal(
      'rejected',
    );
  });
});
