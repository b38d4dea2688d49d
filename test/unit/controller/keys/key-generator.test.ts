import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';

import { type GeneratedKey, KeyGenerator, keptPerNamespace } from '../../../../src/controller/keys/key-generator.ts';
import { KekError } from '../../../../src/crypto/errors.ts';
import { generateKeyPair, type KeyPair } from '../../../../src/crypto/key-pair.ts';
import type { KeySize } from '../../../../src/domain/public-jwk.ts';
import { settle } from '../../../fakes/fake-clock.ts';

const calm = { size: 2048, urgent: false } as const;
const urgent = { size: 2048, urgent: true } as const;

/** Stands for sealing: what is kept names the registration and the key. */
const sealed = async (key: string, { keyID, algorithm, size, publicJWK }: KeyPair): Promise<GeneratedKey> => ({
  facts: { keyID, algorithm, size, publicJWK },
  jwe: `sealed for ${key}`,
  kekID: 'kek-1',
});

describe('KeyGenerator', () => {
  let pair: KeyPair;
  /** Of each generation that has begun and not ended, in their order. */
  let begun: { readonly size: KeySize; readonly end: () => void }[];
  let generations: number;
  let reported: string[];
  let generator: KeyGenerator;
  let seal: typeof sealed;

  before(async () => {
    pair = await generateKeyPair(2048);
  });
  beforeEach(() => {
    [begun, generations, reported, seal] = [[], 0, [], sealed];
    generator = new KeyGenerator({
      slots: 2,
      seal: (key, made) => seal(key, made),
      ready: (key, failure) => void reported.push(failure === undefined ? key : `${key}: ${inspectError(failure)}`),
      generate: (size) => {
        generations += 1;
        return new Promise((resolve) => begun.push({ size, end: () => resolve({ ...pair, size }) }));
      },
    });
  });

  /** Ends the oldest generation under way. */
  async function endOne(): Promise<void> {
    begun.shift()?.end();
    await settle();
  }

  async function endAll(): Promise<void> {
    while (begun.length > 0) await endOne();
  }

  it('KeyGenerator reports a pair that is ready, and returns it until it is dropped', async () => {
    generator.request('ns/a', calm);
    expect(generator.take('ns/a')).to.equal(undefined);
    await endOne();
    expect(reported).to.deep.equal(['ns/a']);
    for (let attempt = 0; attempt < 3; attempt++) {
      expect(generator.take('ns/a')).to.deep.include({ jwe: 'sealed for ns/a', kekID: 'kek-1' });
    }
    generator.drop('ns/a');
    expect(generator.take('ns/a')).to.equal(undefined);
  });

  it('KeyGenerator generates one pair for repeated requests, before and after it is ready', async () => {
    for (let pass = 0; pass < 3; pass++) generator.request('ns/a', calm);
    await endAll();
    for (let pass = 0; pass < 3; pass++) generator.request('ns/a', calm);
    await endAll();
    expect({ generations, reported }).to.deep.equal({ generations: 1, reported: ['ns/a'] });
  });

  it('KeyGenerator generates another pair for another size, and drops the one in progress', async () => {
    generator.request('ns/a', { size: 4096, urgent: false });
    generator.request('ns/a', { size: 3072, urgent: false });
    await endOne();
    expect(reported, 'the first').to.deep.equal([]);
    await endOne();
    expect(generator.take('ns/a')?.facts.size).to.equal(3072);
    generator.request('ns/a', { size: 2048, urgent: false });
    expect(generator.take('ns/a'), 'the pair that was kept has the wrong size').to.equal(undefined);
    await endOne();
    expect(generator.take('ns/a')?.facts.size).to.equal(2048);
  });

  it('KeyGenerator generates as many pairs at a time as it has slots, and one urgent pair more', async () => {
    for (const name of ['a', 'b', 'c', 'd']) generator.request(`ns/${name}`, { size: 4096, urgent: false });
    expect(begun.map(({ size }) => size)).to.deep.equal([4096, 4096]);
    generator.request('ns/u', urgent);
    expect(begun.map(({ size }) => size)).to.deep.equal([4096, 4096, 2048]);
    generator.request('ns/v', urgent);
    expect(begun).to.have.length(3);
    await endOne();
    expect(
      begun.map(({ size }) => size),
      'the second urgent one',
    ).to.deep.equal([4096, 2048, 2048]);
    await endOne();
    expect(begun, 'the extra slot takes no other').to.have.length(2);
    await endAll();
    expect(reported).to.deep.equal(['ns/a', 'ns/b', 'ns/u', 'ns/v', 'ns/c', 'ns/d']);
  });

  it('KeyGenerator generates urgent pairs first, and takes namespaces in turn', async () => {
    for (const key of ['bank/a', 'bank/b', 'bank/c', 'bank/d', 'college/e', 'school/f']) generator.request(key, calm);
    generator.request('bank/u', urgent);
    generator.request('bank/v', urgent);
    generator.request('school/w', urgent);
    await endAll();
    expect(reported).to.deep.equal([
      'bank/a',
      'bank/b',
      'bank/u',
      'bank/v',
      'school/w',
      'bank/c',
      'college/e',
      'school/f',
      'bank/d',
    ]);
  });

  it('KeyGenerator raises the urgency of a waiting request, and never lowers it', async () => {
    for (const name of ['a', 'b', 'c', 'd']) generator.request(`ns/${name}`, calm);
    generator.request('ns/d', urgent);
    generator.request('ns/d', calm);
    expect(begun).to.have.length(3);
    await endAll();
    expect(reported).to.deep.equal(['ns/a', 'ns/b', 'ns/d', 'ns/c']);
    expect(generations).to.equal(4);
  });

  it('KeyGenerator reports a pair that cannot be sealed, drops it, and generates another on request', async () => {
    seal = () => Promise.reject(new KekError('KEKMissing', 'no such file'));
    generator.request('ns/a', calm);
    await endOne();
    expect(reported).to.deep.equal(['ns/a: KekError: no such file']);
    expect(generator.take('ns/a')).to.equal(undefined);
    seal = sealed;
    generator.request('ns/a', calm);
    await endOne();
    expect(generator.take('ns/a')).not.to.equal(undefined);
    expect(generations).to.equal(2);
  });

  it('KeyGenerator continues with the next request after a failure', async () => {
    seal = (key, made) => (key === 'ns/a' ? Promise.reject(new Error('broken')) : sealed(key, made));
    for (const name of ['a', 'b', 'c', 'd']) generator.request(`ns/${name}`, calm);
    await endAll();
    expect(reported).to.deep.equal(['ns/a: Error: broken', 'ns/b', 'ns/c', 'ns/d']);
  });

  it('KeyGenerator neither seals nor reports a pair that was dropped while it was generated', async () => {
    let seals = 0;
    seal = (key, made) => ((seals += 1), sealed(key, made));
    for (const name of ['a', 'b', 'c']) generator.request(`ns/${name}`, calm);
    generator.drop('ns/a');
    generator.drop('ns/c');
    await endAll();
    expect({ generations, seals, reported }).to.deep.equal({ generations: 2, seals: 1, reported: ['ns/b'] });
  });

  it('KeyGenerator drops every request when it is stopped', async () => {
    for (const name of ['a', 'b', 'c']) generator.request(`ns/${name}`, calm);
    await endOne();
    generator.stop();
    generator.request('ns/d', urgent);
    await endAll();
    expect(reported).to.deep.equal(['ns/a']);
    for (const name of ['a', 'b', 'c', 'd']) expect(generator.take(`ns/${name}`)).to.equal(undefined);
    expect(generations, 'c and d are not begun').to.equal(2 + 1);
  });

  it('KeyGenerator limits the pairs kept per namespace, without delaying other namespaces or urgent pairs', async () => {
    for (let index = 0; index < keptPerNamespace + 10; index++) generator.request(`bank/a${index}`, calm);
    await endAll();
    const kept = reported.length;
    expect(kept).to.be.within(keptPerNamespace, keptPerNamespace + 1);
    generator.request('school/a', calm);
    generator.request('bank/revoked', urgent);
    await endAll();
    expect(reported.slice(kept)).to.have.members(['school/a', 'bank/revoked']);
    for (const name of ['a0', 'a1', 'a2']) generator.drop(`bank/${name}`);
    await endAll();
    expect(reported.slice(kept + 2)).to.include(`bank/a${kept}`);
  });

  it('KeyGenerator keeps no private key', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const privateKeys: WeakRef<object>[] = [];
    const real = new KeyGenerator({
      ready: (key) => void reported.push(key),
      seal: (key, made) => {
        privateKeys.push(new WeakRef(made.privateKey));
        return sealed(key, made);
      },
    });
    real.request('ns/a', calm);
    await until(() => reported.length > 0);
    await settle();
    collect();
    expect(real.take('ns/a')?.facts.publicJWK.kty).to.equal('RSA');
    expect(privateKeys.map((reference) => reference.deref() === undefined)).to.deep.equal([true]);
  });

  it('KeyGenerator has an urgent 2048-bit pair ready before 4096-bit pairs that were requested earlier', async () => {
    const real = new KeyGenerator({ seal: sealed, ready: (key) => void reported.push(key) });
    for (let index = 0; index < 12; index++) real.request(`bank/a${index}`, { size: 4096, urgent: false });
    real.request('school/revoked', urgent);
    await until(() => reported.includes('school/revoked'));
    expect(reported.length, 'those that were ready by then').to.be.lessThan(6);
    expect(real.take('school/revoked')?.facts).to.include({ size: 2048, algorithm: 'RS256' });
    real.stop();
  });
});

async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!holds() && performance.now() < deadline) await settle();
}

function inspectError(failure: unknown): string {
  return failure instanceof Error ? `${failure.name}: ${failure.message}` : 'not an error';
}
