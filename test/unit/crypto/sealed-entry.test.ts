import { expect } from 'chai';
import * as fc from 'fast-check';
import { sealedEntry } from '../../../src/crypto/sealed-entry.ts';

describe('The entry of a sealed key in the ledger Secret', () => {
  it('The entry of a sealed key is the key ID and .jwe if the key ID can name an entry', () => {
    for (const keyID of ['tool-2019', '_x.y-Z', '-x', 'k'.repeat(128)]) {
      expect(sealedEntry(keyID)).to.equal(`${keyID}.jwe`);
    }
  });

  it('The entry of a sealed key has the SHA-256 of any other key ID in its name', () => {
    // printf 'https://tool.example.org/1' | openssl sha256 -binary | basenc --base64url
    expect(sealedEntry('https://tool.example.org/1')).to.equal('kid-7rGAqdxJ8wCyNPn42x4KwZxhSRsY8KK4PNz0NzW48Dg.jwe');
    for (const keyID of ['tool:2019', 'Zm9v+/==', '.hidden', 'k'.repeat(129), '~'.repeat(256)]) {
      expect(sealedEntry(keyID)).to.match(/^kid-[A-Za-z0-9_-]{43}\.jwe$/);
    }
  });

  it('The entry of a sealed key differs from that of a key ID that looks like a derived name', () => {
    const name = sealedEntry('tool:2019').replace('.jwe', '');
    expect(sealedEntry(name)).not.to.equal(sealedEntry('tool:2019'));
    expect(sealedEntry('kid-2019')).to.equal('kid-2019.jwe');
  });

  it('The entry of a sealed key is valid in a Secret, and unique for every key ID', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 256 }), fc.string({ maxLength: 130 }), (one, two) => {
        expect(sealedEntry(one)).to.match(/^[-_a-zA-Z0-9][-._a-zA-Z0-9]{0,252}$/);
        expect(sealedEntry(one) === sealedEntry(two)).to.equal(one === two);
      }),
    );
  });
});
