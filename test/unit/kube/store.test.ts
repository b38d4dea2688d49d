import { expect } from 'chai';

import type { KubeObject } from '../../../src/kube/objects.ts';
import { Store } from '../../../src/kube/store.ts';

interface Pet extends KubeObject {
  readonly owner?: string;
}

function pet(name: string, owner?: string): Pet {
  return { metadata: { namespace: 'zoo', name }, ...(owner === undefined ? {} : { owner }) };
}

function names(pets: readonly Pet[]): string[] {
  return pets.map(({ metadata }) => metadata.name);
}

describe('Store', () => {
  let store: Store<Pet>;
  beforeEach(() => {
    store = new Store<Pet>({ owner: ({ owner }) => owner });
    for (const object of [pet('rex', 'ann'), pet('tom', 'bob'), pet('kit', 'ann'), pet('stray')]) store.set(object);
  });

  it('finds objects by namespace and name', () => {
    expect(store.get('zoo/tom')).to.deep.equal(pet('tom', 'bob'));
    expect(store.get('other/tom')).to.equal(undefined);
    expect(store.size).to.equal(4);
  });

  it('finds objects by index, but for those the index leaves out', () => {
    expect(names(store.byIndex('owner', 'ann'))).to.deep.equal(['rex', 'kit']);
    expect(store.byIndex('owner', 'undefined')).to.deep.equal([]);
  });

  it('moves an object in the index when its value changes', () => {
    store.set(pet('rex', 'bob'));
    expect(names(store.byIndex('owner', 'ann'))).to.deep.equal(['kit']);
    expect(names(store.byIndex('owner', 'bob'))).to.deep.equal(['tom', 'rex']);
    expect(store.size).to.equal(4);
  });

  it('forgets a deleted object in every index', () => {
    store.delete('zoo/rex');
    store.delete('zoo/nobody');
    expect(names(store.byIndex('owner', 'ann'))).to.deep.equal(['kit']);
    expect(names(store.list())).to.deep.equal(['tom', 'kit', 'stray']);
  });

  it('hands out lists that later changes do not touch', () => {
    const before = store.list();
    store.delete('zoo/rex');
    expect(before).to.have.length(4);
  });

  it('refuses an index it does not have', () => {
    expect(() => store.byIndex('colour', 'red')).to.throw(TypeError, 'The store has no index "colour"');
  });
});
