import { expect } from 'chai';
import * as fc from 'fast-check';
import {
  DocumentError,
  type KeySet,
  largestDocumentBytes,
  parseDocumentFile,
  readKeySet,
} from '../../../src/documents/document-file.ts';
import { DocumentSet } from '../../../src/documents/document-set.ts';
import { serializeKeySet } from '../../../src/documents/key-set.ts';
import type { KeyState } from '../../../src/domain/key-state.ts';
import { buildDocuments, jwk, key, kids, modulus } from './documents.ts';

describe('DocumentSet', () => {
  it('lists each key in the documents of its registration, its namespace and the trust domain', () => {
    const { documents, collisions } = buildDocuments([key('b', 'x', 1), key('a', 'y', 1), key('a', 'x', 1)], {
      all: true,
    });
    expect([...documents].map(([file, document]) => [file, kids(document)])).to.have.deep.members([
      ['all.json', ['a-x-1', 'a-y-1', 'b-x-1']],
      ['namespace_a.json', ['a-x-1', 'a-y-1']],
      ['namespace_b.json', ['b-x-1']],
      ['registration_a_x.json', ['a-x-1']],
      ['registration_a_y.json', ['a-y-1']],
      ['registration_b_x.json', ['b-x-1']],
    ]);
    expect(collisions).to.deep.equal([]);
  });

  it('has the document of the trust domain only where it is told to, and there without any key too', () => {
    expect(buildDocuments([], { all: true }).documents.get('all.json')).to.deep.equal({ keys: [] });
    expect([...buildDocuments([key('a', 'x', 1)], { all: false }).documents.keys()]).not.to.include('all.json');
  });

  it('orders revisions as numbers, whatever order they come in', () => {
    const keys = [10, 2, 1].map((revision) => key('a', 'x', revision));
    const { documents } = buildDocuments(keys, { all: false });
    expect(kids(documents.get('registration_a_x.json'))).to.deep.equal(['a-x-1', 'a-x-2', 'a-x-10']);
  });

  it('is the same for every order of the keys', () => {
    const keys = ['a', 'b'].flatMap((ns) => ['x', 'x.y', 'x-y'].flatMap((name) => [1, 2].map((n) => key(ns, name, n))));
    const expected = new Map(buildDocuments(keys, { all: true }).documents);
    fc.assert(
      fc.property(fc.shuffledSubarray(keys, { minLength: keys.length }), (shuffled) => {
        expect(buildDocuments(shuffled, { all: true }).documents).to.deep.equal(expected);
      }),
      { numRuns: 30 },
    );
  });

  const listing: readonly (readonly [KeyState, number])[] = [
    ['Next', 1],
    ['Active', 1],
    ['Retiring', 1],
    ['Retired', 0],
    ['Revoked', 0],
  ];
  for (const [state, listed] of listing) {
    it(`${listed ? 'lists' : 'knows but does not list'} a key that is ${state}`, () => {
      const { documents } = buildDocuments([key('a', 'x', 1, { state })], { all: false });
      expect(documents.get('registration_a_x.json')?.keys).to.have.length(listed);
    });
  }

  it('says until when caches are to be short, for a day after the newest revocation', () => {
    const keys = [
      key('a', 'x', 1, { state: 'Revoked', revokedAt: '2026-01-01T00:00:00Z' }),
      key('a', 'x', 2, { state: 'Revoked', revokedAt: '2026-03-01T00:00:00Z' }),
      key('a', 'y', 1),
    ];
    const { documents } = buildDocuments(keys, { all: false });
    expect(documents.get('registration_a_x.json')?.revokedUntil).to.equal('2026-03-02T00:00:00.000Z');
    expect(documents.get('namespace_a.json')?.revokedUntil).to.equal('2026-03-02T00:00:00.000Z');
    expect(documents.get('registration_a_y.json')).not.to.have.property('revokedUntil');
  });

  it('refuses the later of two keys with one key ID, in the document where they meet', () => {
    const first = key('a', 'x', 1, { publicJWK: jwk('same', 1) });
    const second = key('b', 'x', 1, { publicJWK: jwk('same', 2) });
    const { documents, collisions } = buildDocuments([second, first], { all: true });
    expect(documents.get('all.json')?.keys).to.deep.equal([first.publicJWK]);
    expect(documents.get('namespace_b.json')?.keys).to.deep.equal([second.publicJWK]);
    expect(collisions).to.deep.equal([
      { file: 'all.json', keyID: 'same', listed: first, omitted: second, sameKey: false },
    ]);
  });

  it('lists a key that two registrations share once, and says that it is one key', () => {
    const keys = ['x', 'y'].map((name) => key('a', name, 1, { publicJWK: jwk('same', 1) }));
    const { documents, collisions } = buildDocuments(keys, { all: false });
    expect(documents.get('namespace_a.json')?.keys).to.have.length(1);
    expect(collisions.map(({ file, sameKey }) => [file, sameKey])).to.deep.equal([['namespace_a.json', true]]);
  });

  it('tells which files a change makes others, and none for a change that nobody sees', () => {
    const set = new DocumentSet({ all: true });
    const files = ['registration_a_x.json', 'namespace_a.json', 'all.json'];
    expect(set.set('a', 'x', [key('a', 'x', 1, { state: 'Next' })])).to.deep.equal(files);
    expect(set.set('a', 'x', [key('a', 'x', 1, { state: 'Active' })])).to.deep.equal([]);
    expect(set.set('a', 'x', [key('a', 'x', 1), key('a', 'x', 2)])).to.deep.equal(files);
    expect(set.set('a', 'x', [key('a', 'x', 1), key('a', 'x', 2, { state: 'Retired' })])).to.deep.equal(files);
    const revokedAt = '2026-01-01T00:00:00Z';
    expect(set.set('a', 'x', [key('a', 'x', 1), key('a', 'x', 2, { state: 'Revoked', revokedAt })])).to.deep.equal(
      files,
    );
  });

  it('forgets a registration without keys, and a namespace without registrations', () => {
    const set = new DocumentSet({ all: true });
    for (const name of ['x', 'y']) set.set('a', name, [key('a', name, 1)]);
    set.set('a', 'x', []);
    expect(set.files()).to.have.members(['registration_a_y.json', 'namespace_a.json', 'all.json']);
    expect(set.text('registration_a_x.json')).to.equal(undefined);
    set.set('a', 'y', []);
    expect(set.files()).to.deep.equal(['all.json']);
    expect(set.text('namespace_a.json')).to.equal(undefined);
    expect(set.text('all.json')?.pieces.join('')).to.equal('{"keys":[]}');
  });

  it('gives a large document in pieces, and a small one in the same bytes as JSON.stringify', () => {
    const set = new DocumentSet({ all: true });
    const keys = Array.from({ length: 1000 }, (_, number) => key('a', `r${1000 + number}`, 1));
    for (const each of keys) set.set('a', each.registration, [each]);
    const { pieces = [] } = set.text('all.json') ?? {};
    expect(pieces.join('')).to.equal(JSON.stringify({ keys: keys.map(({ publicJWK }) => publicJWK) }));
    expect(pieces.length).to.be.greaterThan(5);
    expect(set.text('registration_a_r1000.json')?.pieces.join('')).to.equal(
      JSON.stringify({ keys: [keys[0]?.publicJWK] }),
    );
  });
});

describe('serializeKeySet', () => {
  it('has the six members in their order and no other', () => {
    const { kid, n, e } = jwk('k');
    const shuffled = { d: 'secret', e, n, kid, alg: 'RS256' as const, use: 'sig' as const, kty: 'RSA' as const };
    expect(serializeKeySet({ keys: [shuffled], revokedUntil: '2026-01-01T00:00:00Z' })).to.equal(
      `{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"k","n":"${n}","e":"AQAB"}]}`,
    );
  });
});

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
  it('reads what a DocumentSet holds', () => {
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
      'BadKey: keys[0] has a modulus outside 2048 to 8192 bits',
    ],
    'a modulus of 8193 bits': [
      bytes(withKey({ n: modulus(8193, 1) })),
      'BadKey: keys[0] has a modulus outside 2048 to 8192 bits',
    ],
    'an even exponent': [
      bytes(withKey({ e: 'Ag' })),
      'BadKey: keys[0] has an e that is not an odd base64url integer of 2 to 64 bits',
    ],
    'the exponent 1': [
      bytes(withKey({ e: 'AQ' })),
      'BadKey: keys[0] has an e that is not an odd base64url integer of 2 to 64 bits',
    ],
    'two keys with one ID': [bytes({ keys: [jwk('k', 1), jwk('k', 2)] }), 'BadKey: two keys have the same kid'],
    'a private member deep inside': [
      bytes({ keys: [], more: [{ deep: { q: 1 } }] }),
      'PrivateMember: the file holds a member of a private key',
    ],
  };
  for (const [what, [input, fault]] of Object.entries(refused)) {
    it(`refuses ${what}`, () => expect(faultOf(input)).to.equal(fault));
  }

  for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) {
    it(`refuses a key with ${member}, without repeating its value`, () => {
      const fault = faultOf(bytes(withKey({ [member]: 'c2VjcmV0' })));
      expect(fault).to.equal('PrivateMember: the file holds a member of a private key');
    });
  }

  for (const bits of [2048, 3072, 4096, 8192]) {
    it(`accepts ${bits} bits`, () => expect(faultOf(bytes(withKey({ n: modulus(bits, 3) })))).to.equal('accepted'));
  }

  it('survives nesting deeper than the stack', () => {
    expect(faultOf(Buffer.from('['.repeat(200_000) + ']'.repeat(200_000)))).to.match(/^NotADocument|^NotJSON/);
  });

  it('either gives a document of public members or a typed refusal, for any JSON and any damage to a good file', () => {
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
function reading(input: Buffer): KeySet | string {
  try {
    return readKeySet(Buffer.from(input));
  } catch (error) {
    if (error instanceof DocumentError) return `${error.reason}: ${error.message}`;
    throw error;
  }
}

describe('readKeySet', () => {
  const keys = ['a', 'b}', 'c"},{"'].map((kid, seed) => jwk(kid, seed));
  const served = JSON.stringify({ keys });

  it('serves the bytes of a file as the publisher writes it, without another copy', () => {
    const file = Buffer.from(served);
    expect(reading(file)).to.deep.equal({ body: file, empty: false });
    expect(readKeySet(file).body.buffer).to.equal(file.buffer);
  });

  it('serves the keys of a file after a revocation, and says until when caches are to be short', () => {
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

  it('serves the six members in their order of a file that somebody wrote otherwise', () => {
    const [first] = keys;
    const { kid, n, e, ...rest } = first!;
    const outcome = reading(Buffer.from(JSON.stringify({ keys: [{ e, n, kid, ...rest }] }, undefined, 2)));
    expect(outcome).to.deep.equal({ body: bytes({ keys: [first] }), empty: false });
  });

  it('serves key IDs beyond ASCII, and refuses bytes that are not UTF-8', () => {
    const foreign = bytes({ keys: [jwk('ключ')] });
    expect(reading(foreign)).to.deep.equal({ body: foreign, empty: false });
    foreign[foreign.indexOf('к')] = 0xff;
    expect(reading(foreign)).to.equal('NotJSON: the file is not JSON');
  });

  it('agrees with parseDocumentFile on a file that lacks any one byte', () => {
    for (let at = 0; at < served.length; at += 1) {
      const damaged = Buffer.from(served.slice(0, at) + served.slice(at + 1));
      const outcome = reading(damaged);
      if (typeof outcome === 'string') expect(faultOf(damaged)).to.equal(outcome);
      else expect(outcome.body.toString()).to.equal(serializeKeySet(parseDocumentFile(damaged)));
    }
  });

  it('agrees with parseDocumentFile on any damage, in whatever key it is', () => {
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
        else expect(outcome.body.toString()).to.equal(serializeKeySet(parseDocumentFile(damaged)));
      }),
      { numRuns: 2000 },
    );
  });
});
