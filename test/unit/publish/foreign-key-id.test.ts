import { expect } from 'chai';
import * as fc from 'fast-check';
import type { PublicJwk } from '../../../src/domain/public-jwk.ts';
import { DocumentRenderer } from '../../../src/publish/document-renderer.ts';
import type { PublishedKey } from '../../../src/publish/published-key.ts';
import { buildDocuments, jwk, key, kids } from '../../builders/documents.ts';

describe('A key with a foreign key ID', () => {
  const tool = (registration: string, more: Partial<PublishedKey> & { readonly seed?: number } = {}): PublishedKey => {
    const { seed = 1, ...rest } = more;
    return key('a', registration, 1, { publicJWK: jwk('tool-2019', seed), foreignKeyID: true, ...rest });
  };
  const old = { createdAt: '2026-01-01T00:00:00Z' };
  const young = { createdAt: '2026-03-01T00:00:00Z' };

  it('A key with a foreign key ID is listed in the documents of its registration and its namespace, but not in that of all namespaces', () => {
    const { documents } = buildDocuments([tool('x'), key('a', 'x', 2)], { all: true });
    expect(kids(documents.get('registration_a_x.json'))).to.deep.equal(['tool-2019', 'a-x-2']);
    expect(kids(documents.get('namespace_a.json'))).to.deep.equal(['tool-2019', 'a-x-2']);
    expect(kids(documents.get('all.json'))).to.deep.equal(['a-x-2']);
  });

  it('A key with a foreign key ID is listed once in the document of its namespace for all registrations that share it, until the last one has retired it', () => {
    const renderer = new DocumentRenderer({ all: true });
    const namespaceKids = () => kids(JSON.parse(renderer.render('namespace_a.json')?.pieces.join('') ?? ''));
    for (const name of ['x', 'y', 'z']) renderer.setKeys('a', name, [tool(name), key('a', name, 2)]);
    expect(namespaceKids()).to.deep.equal(['tool-2019', 'a-x-2', 'a-y-2', 'a-z-2']);
    expect(renderer.render('namespace_a.json')?.collisions.map(({ sameKey }) => sameKey)).to.deep.equal([true, true]);
    for (const name of ['x', 'y']) renderer.setKeys('a', name, [tool(name, { state: 'Retired' }), key('a', name, 2)]);
    expect(namespaceKids()).to.deep.equal(['a-x-2', 'a-y-2', 'tool-2019', 'a-z-2']);
    renderer.setKeys('a', 'z', [tool('z', { state: 'Retired' }), key('a', 'z', 2)]);
    expect(namespaceKids()).to.deep.equal(['a-x-2', 'a-y-2', 'a-z-2']);
  });

  it('A key with a foreign key ID stays in the document of its namespace when a younger key of a registration with an earlier name claims its ID', () => {
    const first = tool('x', old);
    const squatter = tool('a', { ...young, seed: 2 });
    const { documents, collisions } = buildDocuments([squatter, first], { all: true });
    expect(documents.get('namespace_a.json')?.keys).to.deep.equal([first.publicJWK]);
    expect(documents.get('registration_a_x.json')?.keys).to.deep.equal([first.publicJWK]);
    expect(documents.get('registration_a_a.json')?.keys).to.deep.equal([squatter.publicJWK]);
    expect(documents.get('all.json')?.keys).to.deep.equal([]);
    expect(collisions).to.deep.equal([
      { file: 'namespace_a.json', keyID: 'tool-2019', listed: first, omitted: squatter, sameKey: false },
    ]);
  });

  it('A key with a foreign key ID gives way to a key that is named by its thumbprint, regardless of age', () => {
    const named = key('a', 'x', 1, { publicJWK: jwk('thumbprint', 1) });
    const squatter = tool('a', { ...old, publicJWK: jwk('thumbprint', 2) });
    for (const keys of [
      [named, squatter],
      [squatter, named],
    ]) {
      const { documents } = buildDocuments(keys, { all: true });
      expect(documents.get('namespace_a.json')?.keys).to.deep.equal([named.publicJWK]);
      expect(documents.get('all.json')?.keys).to.deep.equal([named.publicJWK]);
    }
  });

  it('A key with a foreign key ID changes the documents that list it, even if only its age decides which key has the ID', () => {
    const renderer = new DocumentRenderer({ all: true });
    const files = ['registration_a_x.json', 'namespace_a.json'];
    expect(renderer.setKeys('a', 'x', [tool('x', old), key('a', 'x', 2)])).to.deep.equal([...files, 'all.json']);
    expect(renderer.setKeys('a', 'x', [tool('x', { ...old, seed: 3 }), key('a', 'x', 2)])).to.deep.equal(files);
    expect(renderer.setKeys('a', 'x', [tool('x', { ...old, seed: 3 }), key('a', 'x', 2)])).to.deep.equal([]);
    renderer.setKeys('a', 'y', [tool('y', { createdAt: '2026-02-01T00:00:00Z' })]);
    expect(renderer.setKeys('a', 'x', [tool('x', { ...young, seed: 3 }), key('a', 'x', 2)])).to.deep.equal(files);
    expect(renderer.render('namespace_a.json')?.pieces.join('')).to.include(jwk('tool-2019', 1).n);
  });
});

/**
 * Whether a document lists a published key as far as it can. `listed` is the key that it has under the same key ID. In the document of a
 * namespace it may be another key if the ID is a foreign one, because only one of those that claim it can have it.
 */
function isListedAsDue(
  scope: 'registration' | 'namespace' | 'all',
  { publicJWK, foreignKeyID = false }: PublishedKey,
  listed: PublicJwk | undefined,
): boolean {
  if (scope === 'all' && foreignKeyID) return listed === undefined;
  if (listed === undefined) return false;
  return (listed.n === publicJWK.n && listed.e === publicJWK.e) || (scope === 'namespace' && foreignKeyID);
}

describe('The document renderer', () => {
  it('The document renderer lists every published key in each document it belongs to, whatever other keys share or claim its ID', () => {
    const published = fc.record({
      namespace: fc.constantFrom('a', 'b'),
      registration: fc.constantFrom('x', 'y', 'z'),
      seed: fc.integer({ min: 1, max: 3 }),
      foreignKeyID: fc.boolean(),
      createdAt: fc.constantFrom('2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z', undefined),
    });
    const place = {
      selector: (at: { namespace: string; registration: string }) => `${at.namespace}/${at.registration}`,
    };
    fc.assert(
      fc.property(fc.uniqueArray(published, place), (rows) => {
        const keys = rows.map(({ namespace, registration, seed, foreignKeyID, createdAt }) =>
          key(namespace, registration, 1, {
            publicJWK: jwk(foreignKeyID ? 'tool-2019' : `thumbprint-${seed}`, seed),
            ...(foreignKeyID && { foreignKeyID, ...(createdAt !== undefined && { createdAt }) }),
          }),
        );
        const { documents } = buildDocuments(keys, { all: true });
        for (const each of keys) {
          const files = {
            registration: `registration_${each.namespace}_${each.registration}.json`,
            namespace: `namespace_${each.namespace}.json`,
            all: 'all.json',
          };
          for (const scope of ['registration', 'namespace', 'all'] as const) {
            const listed = documents.get(files[scope])?.keys.find(({ kid }) => kid === each.publicJWK.kid);
            expect(isListedAsDue(scope, each, listed), `${scope} of ${JSON.stringify(each)}`).to.equal(true);
          }
        }
      }),
    );
  });
});
