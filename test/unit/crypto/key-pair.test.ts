import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { expect } from 'chai';
import { limitConcurrency } from '../../../src/crypto/concurrency.ts';
import {
  generateKeyPair,
  privateJwk,
  privatePem,
  publicJwk,
  publicPem,
  type KeyPair,
} from '../../../src/crypto/key-pair.ts';

describe('key pair', () => {
  let pair: KeyPair;
  before(async () => {
    pair = await generateKeyPair(2048);
  });

  it('is an RSA key of the size asked for with exponent 65537', async () => {
    for (const { size, privateKey } of [pair, await generateKeyPair(3072)]) {
      expect(privateKey.asymmetricKeyDetails).to.deep.equal({ modulusLength: size, publicExponent: 65537n });
    }
  });

  it('is named by the RFC 7638 thumbprint of its public half', () => {
    const { kty, n, e } = pair.publicJWK;
    // RFC 7638 §3: the required members in lexicographic order, without white space.
    const thumbprint = createHash('sha256').update(`{"e":"${e}","kty":"${kty}","n":"${n}"}`).digest('base64url');
    expect(pair.keyID).to.equal(thumbprint).and.to.have.length(43);
    expect(pair.publicJWK.kid).to.equal(thumbprint);
  });

  it('publishes exactly the public members', () => {
    expect(Object.keys(pair.publicJWK)).to.have.members(['kty', 'use', 'alg', 'kid', 'n', 'e']);
    expect(pair.publicJWK).to.include({ kty: 'RSA', use: 'sig', alg: 'RS256', e: 'AQAB' });
  });

  it('keeps a foreign key ID where one is given', async () => {
    expect(publicJwk(pair.privateKey, 'legacy-1')).to.deep.equal({ ...pair.publicJWK, kid: 'legacy-1' });
  });

  it('is delivered as PKCS#8, SPKI and JWK of the same key', () => {
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

describe('limited concurrency', () => {
  it('runs as many at once as there are slots, in order, also after one fails', async () => {
    const limited = limitConcurrency(2);
    const started: number[] = [];
    const finish: (() => void)[] = [];
    const tasks = [0, 1, 2, 3].map((index) =>
      limited(async () => {
        started.push(index);
        await new Promise<void>((resolve) => finish.push(resolve));
        if (index === 0) throw new Error('the first fails');
        return index;
      }),
    );
    const outcome = Promise.allSettled(tasks);
    expect(started).to.deep.equal([0, 1]);
    finish[0]?.();
    await tasks[0]?.catch(() => undefined);
    expect(started).to.deep.equal([0, 1, 2]);
    finish[1]?.();
    await tasks[1];
    expect(started).to.deep.equal([0, 1, 2, 3]);
    finish[2]?.();
    finish[3]?.();
    expect((await outcome).map(({ status }) => status)).to.deep.equal([
      'rejected',
      'fulfilled',
      'fulfilled',
      'fulfilled',
    ]);
    const later = [4, 5, 6].map(() => limited(() => new Promise<void>((resolve) => finish.push(resolve))));
    expect(finish, 'two of the three later tasks have started').to.have.length(4 + 2);
    for (const done of finish) done();
    await Promise.all(later.slice(0, 2));
    finish.at(-1)?.();
    await later[2];
  });
});
