import { expect } from 'chai';
import * as fc from 'fast-check';
import { generateKeyPair, type KeyPair } from '../../../src/crypto/key-pair.ts';
import { KmsKekProvider } from '../../../src/crypto/kms/kms-kek-provider.ts';
import { open, seal } from '../../../src/crypto/seal.ts';
import { kekIDOf, parseWrappedKey } from '../../../src/crypto/wrapped-key.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { FakeKms } from './kms/fake-kms.ts';
import { headerOf, parts, sealFailure, withHeader } from '../../fixtures/sealing.ts';

const bytes = (count: number): string => Buffer.alloc(count, 7).toString('base64url');
const good = { keyID: 'key-1', ciphertext: bytes(60), annotations: { 'version.example.com': 'MQ' } };

function problemOf(value: unknown): string {
  try {
    parseWrappedKey(value, (what) => {
      throw new Error(what);
    });
    return 'none';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('A wrapping key encrypted by a KMS', () => {
  const cases: { when: string; value: unknown; problem: string }[] = [
    { when: 'all members are valid', value: good, problem: 'none' },
    {
      when: 'all members have their maximum length',
      value: { keyID: 'k'.repeat(1024), ciphertext: bytes(1024), annotations: { 'a.b': bytes(32 * 1024 - 3) } },
      problem: 'none',
    },
    { when: 'there are no annotations', value: { ...good, annotations: {} }, problem: 'none' },
    { when: 'an annotation is empty', value: { ...good, annotations: { 'a.b': '' } }, problem: 'none' },
    {
      when: 'the name of an annotation ends with a dot',
      value: { ...good, annotations: { 'a.b.': '' } },
      problem: 'none',
    },
    { when: 'it is undefined', value: undefined, problem: 'key_id is empty' },
    { when: 'it is a list', value: [good], problem: 'key_id is empty' },
    { when: 'key_id is empty', value: { ...good, keyID: '' }, problem: 'key_id is empty' },
    { when: 'key_id is not a string', value: { ...good, keyID: 7 }, problem: 'key_id is empty' },
    {
      when: 'key_id is too long in characters',
      value: { ...good, keyID: 'k'.repeat(1025) },
      problem: 'key_id has more than 1024 bytes',
    },
    {
      when: 'key_id is too long in bytes',
      value: { ...good, keyID: 'ü'.repeat(513) },
      problem: 'key_id has more than 1024 bytes',
    },
    {
      when: 'ciphertext is absent',
      value: { ...good, ciphertext: undefined },
      problem: 'ciphertext is not canonical base64url',
    },
    {
      when: 'ciphertext has spare bits',
      value: { ...good, ciphertext: 'AB' },
      problem: 'ciphertext is not canonical base64url',
    },
    { when: 'ciphertext is empty', value: { ...good, ciphertext: '' }, problem: 'ciphertext is empty' },
    {
      when: 'ciphertext is too long',
      value: { ...good, ciphertext: bytes(1025) },
      problem: 'ciphertext has more than 1024 bytes',
    },
    { when: 'annotations are absent', value: { keyID: 'k', ciphertext: 'AA' }, problem: 'annotations are missing' },
    { when: 'annotations are a list', value: { ...good, annotations: ['a.b'] }, problem: 'annotations are missing' },
    {
      when: 'an annotation is not base64url',
      value: { ...good, annotations: { 'a.b': '+' } },
      problem: 'annotation is not canonical base64url',
    },
    {
      when: 'annotations are too large',
      value: { ...good, annotations: { 'a.b': bytes(32 * 1024 - 2) } },
      problem: 'annotations have more than 32768 bytes',
    },
    ...['version', '', '.', 'a..b', '-a.b', 'A.b', 'a_b.c', '__proto__', `${'a'.repeat(64)}.b`, 'a.b..', 'a b.c'].map(
      (name) => ({
        when: `an annotation is called "${name}"`,
        value: JSON.parse(`{"keyID":"k","ciphertext":"AA","annotations":{${JSON.stringify(name)}:"AA"}}`) as unknown,
        problem: 'annotation is not named by a fully qualified domain name',
      }),
    ),
    {
      when: 'it has an unknown member',
      value: { ...good, plaintext: 'x' },
      problem: 'wrapping key has unknown members',
    },
  ];
  for (const { when, value, problem } of cases) {
    it(`A wrapping key ${problem === 'none' ? 'is valid' : 'is refused'} if ${when}`, () => {
      expect(problemOf(value)).to.equal(problem);
    });
  }

  it('A wrapping key has a KEK ID of 20 characters, derived from its key_id', () => {
    expect(kekIDOf('key-1')).to.equal('kms-be2974546978e373');
    expect(kekIDOf('arn:aws:kms:eu-central-1:111122223333:key/x'.repeat(20))).to.have.length(20);
  });

  describe('in the header of a sealed key', () => {
    let pair: KeyPair;
    let keks: KmsKekProvider;
    let jwe: string;
    const context = () => ({ namespace: 'gradebook', registration: 'canvas', keyID: pair.keyID });

    before(async () => {
      pair = await generateKeyPair(2048);
      keks = new KmsKekProvider({ kms: new FakeKms(), clock: new FakeClock() });
      ({ jwe } = await seal(pair.privateKey, context(), keks));
    });

    const changes: { what: string; change: (header: Record<string, unknown>) => object; says: RegExp }[] = [
      { what: 'no wrapping key', change: () => ({ kms: undefined }), says: /a header whose KMS key_id is empty/ },
      {
        what: 'another key_id',
        change: ({ kms }) => ({ kms: { ...(kms as object), keyID: 'key-2' } }),
        says: /"kekID" is not that of its KMS key_id/,
      },
      {
        what: 'another KEK ID',
        change: () => ({ kekID: kekIDOf('key-2') }),
        says: /"kekID" is not that of its KMS key_id/,
      },
      { what: 'version 1', change: () => ({ version: 1 }), says: /unknown members/ },
      {
        what: 'a member more in the wrapping key',
        change: ({ kms }) => ({ kms: { ...(kms as object), x: 1 } }),
        says: /unknown members/,
      },
    ];
    for (const { what, change, says } of changes) {
      it(`A sealed key with ${what} in its header is refused as malformed`, async () => {
        const header = headerOf(jwe);
        const error = await sealFailure(open(withHeader(jwe, { ...header, ...change(header) }), context(), keks));
        expect(error.reason).to.equal('SealMalformed');
        expect(error.message).to.match(says);
      });
    }

    it('A sealed key does not open if another wrapping of the same key is put into its header', async () => {
      const header = headerOf(jwe);
      const kms = { ...(header['kms'] as object), annotations: { 'version.fake.example': 'Mg' } };
      const error = await sealFailure(open(withHeader(jwe, { ...header, kms }), context(), keks));
      expect(error.reason).to.equal('SealTampered');
    });

    it('A sealed key with any of 1,000 flipped bits in its wrapping key is refused', async () => {
      const flipOne = fc.asyncProperty(fc.nat(), async (at) => {
        const header = Buffer.from(parts(jwe).protected!, 'base64url');
        const bit = at % (header.length * 8);
        header[bit >> 3] = header[bit >> 3]! ^ (1 << (bit & 7));
        await sealFailure(
          open(JSON.stringify({ ...parts(jwe), protected: header.toString('base64url') }), context(), keks),
        );
      });
      await fc.assert(flipOne, { numRuns: 1000, seed: 20261123 });
    });
  });
});
