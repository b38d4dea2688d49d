import { expect } from 'chai';
import { ServedKeys } from '../../../../src/controller/publication/served-keys.ts';
import { rsaThumbprint } from '../../../../src/lib/thumbprint.ts';

const rsa = { kty: 'RSA', n: 'modulus', e: 'AQAB' };
const own = { ...rsa, kid: rsaThumbprint(rsa) };
const foreign = { ...rsa, kid: 'old-key' };

function served(...keys: readonly unknown[]): ServedKeys {
  return ServedKeys.parse(JSON.stringify({ keys }));
}

describe('ServedKeys', () => {
  for (const [what, key] of [
    ['its thumbprint as its ID', own],
    ['a foreign ID', foreign],
  ] as const) {
    describe(`of a key with ${what}`, () => {
      const document = (...keys: readonly unknown[]): readonly boolean[] => {
        const found = served(...keys);
        return [found.serves(key), found.hasID(key.kid), found.hasModulus(key)];
      };

      it('finds the key itself', () => expect(document(key)).to.deep.equal([true, true, true]));
      it('does not take another modulus under its ID for it', () =>
        expect(document({ ...key, n: 'other' }).slice(0, 2)).to.deep.equal([false, true]));
      it('does not take another exponent for it', () =>
        expect(document({ ...key, e: 'Aw' })).to.deep.equal([false, true, true]));
      it('finds its modulus under another ID', () =>
        expect(document({ ...key, kid: 'b' })).to.deep.equal([false, false, true]));
      it('finds its modulus under another ID with another exponent', () =>
        expect(document({ ...key, kid: 'b', e: 'Aw' })).to.deep.equal([false, false, true]));
      it('finds its modulus without an ID', () =>
        expect(document({ n: key.n, e: key.e })).to.deep.equal([false, false, true]));
      it('does not count an ID that two keys share, of which nobody knows which is taken', () => {
        expect(document(key, { ...key, n: 'other' })).to.deep.equal([false, true, true]);
        expect(document({ ...key, n: 'other' }, key)).to.deep.equal([false, true, true]);
      });
      it('takes the same key twice for one', () => expect(document(key, key)).to.deep.equal([true, true, true]));
      it('does not find it among others', () =>
        expect(document({ ...rsa, kid: 'b', n: 'other' }, { kid: 'c', kty: 'EC' }, null, 7)).to.deep.equal([
          false,
          false,
          false,
        ]));
    });
  }

  it('has the other modulus of a key whose ID belongs to a thumbprint', () => {
    expect(served({ ...own, n: 'other' }).hasModulus({ n: 'other' })).to.equal(true);
  });

  for (const text of ['<html>', '{"keys":{}}', 'null', '[]']) {
    it(`refuses ${text}`, () => expect(() => ServedKeys.parse(text)).to.throw());
  }
});
