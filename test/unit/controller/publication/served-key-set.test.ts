import { expect } from 'chai';
import { ServedKeySet } from '../../../../src/controller/publication/served-key-set.ts';
import { rsaThumbprint } from '../../../../src/lib/thumbprint.ts';

const rsa = { kty: 'RSA', n: 'modulus', e: 'AQAB' };
const own = { ...rsa, kid: rsaThumbprint(rsa) };
const foreign = { ...rsa, kid: 'old-key' };

function served(...keys: readonly unknown[]): ServedKeySet {
  return ServedKeySet.parse(JSON.stringify({ keys }));
}

describe('ServedKeySet', () => {
  for (const [what, key] of [
    ['its thumbprint as its ID', own],
    ['a foreign ID', foreign],
  ] as const) {
    describe(`with a key that has ${what}`, () => {
      const document = (...keys: readonly unknown[]): readonly boolean[] => {
        const found = served(...keys);
        return [found.serves(key), found.hasID(key.kid), found.hasModulus(key)];
      };

      it('ServedKeySet finds the key itself', () => expect(document(key)).to.deep.equal([true, true, true]));
      it('ServedKeySet does not accept another modulus with its ID', () =>
        expect(document({ ...key, n: 'other' }).slice(0, 2)).to.deep.equal([false, true]));
      it('ServedKeySet does not accept another exponent', () =>
        expect(document({ ...key, e: 'Aw' })).to.deep.equal([false, true, true]));
      it('ServedKeySet finds its modulus with another ID', () =>
        expect(document({ ...key, kid: 'b' })).to.deep.equal([false, false, true]));
      it('ServedKeySet finds its modulus with another ID and another exponent', () =>
        expect(document({ ...key, kid: 'b', e: 'Aw' })).to.deep.equal([false, false, true]));
      it('ServedKeySet finds its modulus without an ID', () =>
        expect(document({ n: key.n, e: key.e })).to.deep.equal([false, false, true]));
      it('ServedKeySet does not accept an ID that two keys share, because verifiers may use either', () => {
        expect(document(key, { ...key, n: 'other' })).to.deep.equal([false, true, true]);
        expect(document({ ...key, n: 'other' }, key)).to.deep.equal([false, true, true]);
      });
      it('ServedKeySet accepts a key that is listed twice', () =>
        expect(document(key, key)).to.deep.equal([true, true, true]));
      it('ServedKeySet does not find the key among others', () =>
        expect(document({ ...rsa, kid: 'b', n: 'other' }, { kid: 'c', kty: 'EC' }, null, 7)).to.deep.equal([
          false,
          false,
          false,
        ]));
    });
  }

  it('ServedKeySet finds the modulus of a key whose ID is the thumbprint of another key', () => {
    expect(served({ ...own, n: 'other' }).hasModulus({ n: 'other' })).to.equal(true);
  });

  for (const text of ['<html>', '{"keys":{}}', 'null', '[]']) {
    it(`ServedKeySet refuses ${text}`, () => expect(() => ServedKeySet.parse(text)).to.throw());
  }
});
