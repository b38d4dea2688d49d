import { expect } from 'chai';
import * as fc from 'fast-check';
import {
  DocumentError,
  type JwksBody,
  largestDocumentBytes,
  parseDocumentFile,
  readJwksBody,
} from '../../../src/documents/document-file.ts';
import { buildDocuments, jwk, key, modulus } from '../../builders/documents.ts';

function bytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function faultOf(input: unknown): string {
  try {
    parseDocumentFile(input);
  } catch (error) {
    if (error instanceof DocumentError) return `${error.reason}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}

describe('parseDocumentFile', () => {
  it('parseDocumentFile reads what DocumentRenderer renders', () => {
    const revoked = key('a', 'x', 1, { state: 'Revoked', revokedAt: '2026-01-01T00:00:00Z' });
    for (const document of buildDocuments([revoked, key('a', 'x', 2)], { all: true }).documents.values()) {
      expect(parseDocumentFile(bytes(document))).to.deep.equal(document);
    }
  });

  const withKey = (more: object): unknown => ({ keys: [{ ...jwk('k'), ...more }] });
  const refused: Record<string, readonly [input: unknown, fault: string]> = {
    'no bytes': ['{"keys":[]}', 'NotJSON: there are no bytes'],
    'an empty file': [Buffer.alloc(0), 'NotJSON: the file is not JSON'],
    'a torn file': [Buffer.from('{"keys":[{"kty":"RS'), 'NotJSON: the file is not JSON'],
    'bytes that are not UTF-8': [Buffer.from([0x22, 0xff, 0x22]), 'NotJSON: the file is not JSON'],
    'a file over the limit': [
      Buffer.alloc(largestDocumentBytes + 1, ' '),
      'TooLarge: the file is larger than 33554432 bytes',
    ],
    'a list': [bytes([]), 'NotADocument: the file is not a JSON object'],
    null: [bytes(null), 'NotADocument: the file is not a JSON object'],
    'keys that are no list': [bytes({ keys: {} }), 'NotADocument: keys is not a list'],
    'an unknown member': [bytes({ keys: [], more: 1 }), 'NotADocument: the file has unknown members'],
    'a revokedUntil that is no time': [
      bytes({ keys: [], revokedUntil: 'soon' }),
      'NotADocument: revokedUntil is not a time',
    ],
    'a key that is no object': [bytes({ keys: ['k'] }), 'BadKey: keys[0] is not a JSON object'],
    'an unknown member of a key': [
      bytes(withKey({ x5c: [] })),
      'BadKey: keys[0] has members beyond kty, use, alg, kid, n and e',
    ],
    'another key type': [bytes(withKey({ kty: 'EC' })), 'BadKey: keys[0] is not an RSA key for RS256 signatures'],
    'another use': [bytes(withKey({ use: 'enc' })), 'BadKey: keys[0] is not an RSA key for RS256 signatures'],
    'another algorithm': [bytes(withKey({ alg: 'PS256' })), 'BadKey: keys[0] is not an RSA key for RS256 signatures'],
    'no key ID': [bytes(withKey({ kid: '' })), 'BadKey: keys[0] has no usable kid'],
    'padded base64url': [
      bytes(withKey({ n: `${modulus(2048, 1)}=` })),
      'BadKey: keys[0] has an n that is not an unpadded base64url integer without leading zeros',
    ],
    'a leading zero octet': [
      bytes(withKey({ n: Buffer.alloc(257).toString('base64url') })),
      'BadKey: keys[0] has an n that is not an unpadded base64url integer without leading zeros',
    ],
    'a modulus of 2047 bits': [
      bytes(withKey({ n: modulus(2047, 1) })),
      'BadKey: keys[0] has a modulus that is not of 2048, 3072, 4096 bits',
    ],
    'a modulus of 4097 bits': [
      bytes(withKey({ n: modulus(4097, 1) })),
      'BadKey: keys[0] has a modulus that is not of 2048, 3072, 4096 bits',
    ],
    'an even exponent': [bytes(withKey({ e: 'Ag' })), 'BadKey: keys[0] has an e other than AQAB (65537)'],
    'the exponent 3': [bytes(withKey({ e: 'Aw' })), 'BadKey: keys[0] has an e other than AQAB (65537)'],
    'two keys with one ID': [bytes({ keys: [jwk('k', 1), jwk('k', 2)] }), 'BadKey: two keys have the same kid'],
    'a private member deep inside': [
      bytes({ keys: [], more: [{ deep: { q: 1 } }] }),
      'PrivateMember: the file holds a member of a private key',
    ],
  };
  for (const [what, [input, fault]] of Object.entries(refused)) {
    it(`parseDocumentFile refuses ${what}`, () => expect(faultOf(input)).to.equal(fault));
  }

  for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) {
    it(`parseDocumentFile refuses a key with ${member}, without repeating its value`, () => {
      const fault = faultOf(bytes(withKey({ [member]: 'c2VjcmV0' })));
      expect(fault).to.equal('PrivateMember: the file holds a member of a private key');
    });
  }

  for (const bits of [2048, 3072, 4096]) {
    it(`parseDocumentFile accepts ${bits} bits`, () =>
      expect(faultOf(bytes(withKey({ n: modulus(bits, 3) })))).to.equal('accepted'));
  }

  it('parseDocumentFile refuses nesting deeper than the stack without overflowing it', () => {
    expect(faultOf(Buffer.from('['.repeat(200_000) + ']'.repeat(200_000)))).to.match(/^NotADocument|^NotJSON/);
  });

  it('parseDocumentFile either returns a document of public members or throws a DocumentError, for any JSON and any damage to a good file', () => {
    const good = JSON.stringify({ keys: [jwk('k')] });
    const damaged = fc
      .tuple(fc.nat(good.length - 1), fc.nat(good.length), fc.string())
      .map(([at, cut, text]) => good.slice(0, at) + text + good.slice(Math.min(at + cut, good.length)));
    const members = fc.dictionary(fc.constantFrom('kty', 'use', 'alg', 'kid', 'n', 'e', 'd', 'k'), fc.jsonValue());
    const shaped = fc
      .record({ keys: fc.array(members.map((more) => ({ ...jwk('k'), ...more }))) })
      .map((v) => JSON.stringify(v));
    fc.assert(
      fc.property(fc.oneof(damaged, fc.json(), shaped), (text) => {
        try {
          const { keys } = parseDocumentFile(Buffer.from(text));
          for (const each of keys) expect(Object.keys(each)).to.deep.equal(['kty', 'use', 'alg', 'kid', 'n', 'e']);
          expect(text).not.to.match(/"(?:d|k)" ?:/);
        } catch (error) {
          expect(error).to.be.instanceOf(DocumentError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** What is served of a file, or its fault. */
function reading(input: Buffer): JwksBody | string {
  try {
    return readJwksBody(Buffer.from(input));
  } catch (error) {
    if (error instanceof DocumentError) return `${error.reason}: ${error.message}`;
    throw error;
  }
}

describe('readJwksBody', () => {
  const keys = ['a', 'b}', 'c"},{"'].map((kid, seed) => jwk(kid, seed));
  const served = JSON.stringify({ keys });

  it('readJwksBody serves the bytes of a file that the publisher wrote, without copying them', () => {
    const file = Buffer.from(served);
    expect(reading(file)).to.deep.equal({ body: file, empty: false });
    expect(readJwksBody(file).body.buffer).to.equal(file.buffer);
  });

  it('readJwksBody serves the keys of a file after a revocation, and returns its revokedUntil', () => {
    const revokedUntil = '2026-01-02T00:00:00.000Z';
    expect(reading(bytes({ keys, revokedUntil }))).to.deep.equal({
      body: Buffer.from(served),
      empty: false,
      revokedUntil,
    });
    expect(reading(bytes({ keys: [], revokedUntil }))).to.deep.equal({
      body: Buffer.from('{"keys":[]}'),
      empty: true,
      revokedUntil,
    });
  });

  it('readJwksBody leaves the bytes that it reads as they are', () => {
    const file = bytes({ keys, revokedUntil: '2026-01-02T00:00:00.000Z' });
    const before = Buffer.from(file);
    readJwksBody(file);
    expect(file).to.deep.equal(before);
  });

  it('readJwksBody refuses a file whose revokedUntil is not a time, or that has more after it', () => {
    const file = JSON.stringify({ keys, revokedUntil: 'soon' });
    expect(reading(Buffer.from(file))).to.equal('NotADocument: revokedUntil is not a time');
    expect(reading(Buffer.from(`${file}}`))).to.equal('NotJSON: the file is not JSON');
  });

  it('readJwksBody serves the six members in a fixed order if the file has another order or white space', () => {
    const [first] = keys;
    const { kid, n, e, ...rest } = first!;
    const outcome = reading(Buffer.from(JSON.stringify({ keys: [{ e, n, kid, ...rest }] }, undefined, 2)));
    expect(outcome).to.deep.equal({ body: bytes({ keys: [first] }), empty: false });
  });

  it('readJwksBody serves key IDs beyond ASCII, and refuses bytes that are not UTF-8', () => {
    const foreign = bytes({ keys: [jwk('ключ')] });
    expect(reading(foreign)).to.deep.equal({ body: foreign, empty: false });
    foreign[foreign.indexOf('к')] = 0xff;
    expect(reading(foreign)).to.equal('NotJSON: the file is not JSON');
  });

  it('readJwksBody agrees with parseDocumentFile on a file without any one of its bytes', () => {
    for (let at = 0; at < served.length; at += 1) {
      const damaged = Buffer.from(served.slice(0, at) + served.slice(at + 1));
      const outcome = reading(damaged);
      if (typeof outcome === 'string') expect(faultOf(damaged)).to.equal(outcome);
      else expect(outcome.body.toString()).to.equal(JSON.stringify({ keys: parseDocumentFile(damaged).keys }));
    }
  });

  it('readJwksBody agrees with parseDocumentFile on any damage, in any key', () => {
    const places = fc.tuple(
      fc.nat(served.length),
      fc.nat(20),
      fc.constantFrom('', '}', ']', ',', '"', '"d":1,', '{', ' ', ']}'),
    );
    fc.assert(
      fc.property(places, ([at, cut, text]) => {
        const damaged = Buffer.from(served.slice(0, at) + text + served.slice(at + cut));
        const outcome = reading(damaged);
        if (typeof outcome === 'string') expect(faultOf(damaged)).to.equal(outcome);
        else expect(outcome.body.toString()).to.equal(JSON.stringify({ keys: parseDocumentFile(damaged).keys }));
      }),
      { numRuns: 2000 },
    );
  });
});
