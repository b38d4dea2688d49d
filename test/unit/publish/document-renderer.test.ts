import { expect } from 'chai';
import * as fc from 'fast-check';
import type { KeyState } from '../../../src/domain/key-state.ts';
import { DocumentRenderer } from '../../../src/publish/document-renderer.ts';
import { buildDocuments, jwk, key, kids } from '../../builders/documents.ts';

describe('DocumentRenderer', () => {
  it('DocumentRenderer lists each key in the documents of its registration, its namespace and all namespaces', () => {
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

  it('DocumentRenderer renders the document of all namespaces only if it is enabled, and then even without keys', () => {
    expect(buildDocuments([], { all: true }).documents.get('all.json')).to.deep.equal({ keys: [] });
    expect([...buildDocuments([key('a', 'x', 1)], { all: false }).documents.keys()]).not.to.include('all.json');
  });

  it('DocumentRenderer orders revisions as numbers, whatever their order of arrival', () => {
    const keys = [10, 2, 1].map((revision) => key('a', 'x', revision));
    const { documents } = buildDocuments(keys, { all: false });
    expect(kids(documents.get('registration_a_x.json'))).to.deep.equal(['a-x-1', 'a-x-2', 'a-x-10']);
  });

  it('DocumentRenderer renders the same documents for every order of the keys', () => {
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
    it(`DocumentRenderer renders a document that ${listed ? 'lists' : 'does not list'} a key that is ${state}`, () => {
      const { documents } = buildDocuments([key('a', 'x', 1, { state })], { all: false });
      expect(documents.get('registration_a_x.json')?.keys).to.have.length(listed);
    });
  }

  it('DocumentRenderer writes revokedUntil, a day after the newest revocation', () => {
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

  it('DocumentRenderer omits the later of two keys with the same key ID, in the document where they collide', () => {
    const first = key('a', 'x', 1, { publicJWK: jwk('same', 1) });
    const second = key('b', 'x', 1, { publicJWK: jwk('same', 2) });
    const { documents, collisions } = buildDocuments([second, first], { all: true });
    expect(documents.get('all.json')?.keys).to.deep.equal([first.publicJWK]);
    expect(documents.get('namespace_b.json')?.keys).to.deep.equal([second.publicJWK]);
    expect(collisions).to.deep.equal([
      { file: 'all.json', keyID: 'same', listed: first, omitted: second, sameKey: false },
    ]);
  });

  it('DocumentRenderer lists a key that two registrations share once, and reports that it is the same key', () => {
    const keys = ['x', 'y'].map((name) => key('a', name, 1, { publicJWK: jwk('same', 1) }));
    const { documents, collisions } = buildDocuments(keys, { all: false });
    expect(documents.get('namespace_a.json')?.keys).to.have.length(1);
    expect(collisions.map(({ file, sameKey }) => [file, sameKey])).to.deep.equal([['namespace_a.json', true]]);
  });

  it('DocumentRenderer returns the files that a change affects, and none for a change that is not visible', () => {
    const renderer = new DocumentRenderer({ all: true });
    const files = ['registration_a_x.json', 'namespace_a.json', 'all.json'];
    expect(renderer.setKeys('a', 'x', [key('a', 'x', 1, { state: 'Next' })])).to.deep.equal(files);
    expect(renderer.setKeys('a', 'x', [key('a', 'x', 1, { state: 'Active' })])).to.deep.equal([]);
    expect(renderer.setKeys('a', 'x', [key('a', 'x', 1), key('a', 'x', 2)])).to.deep.equal(files);
    expect(renderer.setKeys('a', 'x', [key('a', 'x', 1), key('a', 'x', 2, { state: 'Retired' })])).to.deep.equal(files);
    const revokedAt = '2026-01-01T00:00:00Z';
    expect(
      renderer.setKeys('a', 'x', [key('a', 'x', 1), key('a', 'x', 2, { state: 'Revoked', revokedAt })]),
    ).to.deep.equal(files);
  });

  it('DocumentRenderer drops a registration without keys, and a namespace without registrations', () => {
    const renderer = new DocumentRenderer({ all: true });
    for (const name of ['x', 'y']) renderer.setKeys('a', name, [key('a', name, 1)]);
    renderer.setKeys('a', 'x', []);
    expect(renderer.files()).to.have.members(['registration_a_y.json', 'namespace_a.json', 'all.json']);
    expect(renderer.render('registration_a_x.json')).to.equal(undefined);
    renderer.setKeys('a', 'y', []);
    expect(renderer.files()).to.deep.equal(['all.json']);
    expect(renderer.render('namespace_a.json')).to.equal(undefined);
    expect(renderer.render('all.json')?.pieces.join('')).to.equal('{"keys":[]}');
  });

  it('DocumentRenderer renders a large document in pieces, with the same bytes as JSON.stringify', () => {
    const renderer = new DocumentRenderer({ all: true });
    const keys = Array.from({ length: 1000 }, (_, number) => key('a', `r${1000 + number}`, 1));
    for (const each of keys) renderer.setKeys('a', each.registration, [each]);
    const { pieces = [] } = renderer.render('all.json') ?? {};
    expect(pieces.join('')).to.equal(JSON.stringify({ keys: keys.map(({ publicJWK }) => publicJWK) }));
    expect(pieces.length).to.be.greaterThan(5);
    expect(renderer.render('registration_a_r1000.json')?.pieces.join('')).to.equal(
      JSON.stringify({ keys: [keys[0]?.publicJWK] }),
    );
  });
});
