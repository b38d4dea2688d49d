import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { expect } from 'chai';
import {
  generateKeyPair,
  privateJwk,
  privatePem,
  publicJwk,
  publicPem,
  type KeyPair,
} from '../../../src/crypto/key-pair.ts';

describe('A generated key pair', () => {
  let pair: KeyPair;
  before(async () => {
    pair = await generateKeyPair(2048);
  });

  it('A generated key pair is an RSA key pair of the requested size with exponent 65537', async () => {
    for (const { size, privateKey } of [pair, await generateKeyPair(3072)]) {
      expect(privateKey.asymmetricKeyDetails).to.deep.equal({ modulusLength: size, publicExponent: 65537n });
    }
  });

  it('A generated key pair has the RFC 7638 thumbprint of its public half as key ID', () => {
    const { kty, n, e } = pair.publicJWK;
    // RFC 7638 §3: the required members in lexicographic order, without white space.
    const thumbprint = createHash('sha256').update(`{"e":"${e}","kty":"${kty}","n":"${n}"}`).digest('base64url');
    expect(pair.keyID).to.equal(thumbprint).and.to.have.length(43);
    expect(pair.publicJWK.kid).to.equal(thumbprint);
  });

  it('A generated key pair has a public JWK with exactly the public members', () => {
    expect(Object.keys(pair.publicJWK)).to.have.members(['kty', 'use', 'alg', 'kid', 'n', 'e']);
    expect(pair.publicJWK).to.include({ kty: 'RSA', use: 'sig', alg: 'RS256', e: 'AQAB' });
  });

  it('A generated key pair has a given foreign key ID in its public JWK', async () => {
    expect(publicJwk(pair.privateKey, 'legacy-1')).to.deep.equal({ ...pair.publicJWK, kid: 'legacy-1' });
  });

  it('A generated key pair has the same key in its PKCS#8, SPKI and JWK forms', () => {
    const jwk = privateJwk(pair);
    expect(privatePem(pair.privateKey)).to.match(/^-----BEGIN PRIVATE KEY-----\n/);
    expect(publicPem(pair.privateKey)).to.match(/^-----BEGIN PUBLIC KEY-----\n/);
    expect(Object.keys(jwk)).to.have.members([...Object.keys(pair.publicJWK), 'd', 'p', 'q', 'dp', 'dq', 'qi']);
    expect(jwk).to.include(pair.publicJWK);
    const content = Buffer.from('a client assertion');
    const publicKey = createPublicKey(publicPem(pair.privateKey));
    for (const key of [
      createPrivateKey(privatePem(pair.privateKey)),
      createPrivateKey({ key: { ...jwk }, format: 'jwk' }),
    ]) {
      expect(verify('RSA-SHA256', content, publicKey, sign('RSA-SHA256', content, key))).to.equal(true);
    }
  });
});
