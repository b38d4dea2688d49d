import { expect } from 'chai';

import type { KubeObject } from '../../../src/kube/objects.ts';
import { Store } from '../../../src/kube/store.ts';

interface Pet extends KubeObject {
  readonly owner: string;
}

let version = 0;

function pet(name: string, owner: string): Pet {
  return { metadata: { namespace: 'zoo', name, resourceVersion: String((version += 1)) }, owner };
}

function names(pets: readonly Pet[]): string[] {
  return pets.map(({ metadata }) => metadata.name);
}

describe('Store', () => {
  const rex = pet('rex', 'ann');
  const tom = pet('tom', 'bob');
  let store: Store<Pet>;
  beforeEach(() => {
    store = new Store<Pet>({ owner: ({ owner }) => `zoo/${owner}` });
    for (const object of [rex, tom, pet('kit', 'ann')]) store.put(object);
  });

  it('The store finds objects by namespace and name', () => {
    expect(store.get('zoo/tom')).to.deep.equal(tom);
    expect(store.get('other/tom')).to.equal(undefined);
    expect(store.list()).to.have.length(3);
  });

  it('The store finds objects by index', () => {
    expect(names(store.byIndex('owner', 'zoo/ann'))).to.deep.equal(['rex', 'kit']);
    expect(store.byIndex('owner', 'zoo/eve')).to.deep.equal([]);
  });

  it('The store moves an object in the index if its value changes', () => {
    store.put(pet('rex', 'bob'));
    expect(names(store.byIndex('owner', 'zoo/ann'))).to.deep.equal(['kit']);
    expect(names(store.byIndex('owner', 'zoo/bob'))).to.deep.equal(['tom', 'rex']);
    expect(store.list()).to.have.length(3);
  });

  it('The store removes a deleted object from every index', () => {
    store.delete(rex);
    store.delete(pet('unknown', 'ann'));
    expect(names(store.byIndex('owner', 'zoo/ann'))).to.deep.equal(['kit']);
    expect(names(store.list())).to.deep.equal(['tom', 'kit']);
  });

  it('A later change does not affect a returned list', () => {
    const before = store.list();
    store.delete(rex);
    expect(before).to.have.length(3);
  });

  it('byIndex throws a TypeError for an unknown index', () => {
    expect(() => store.byIndex('color', 'red')).to.throw(TypeError, 'The store has no index "color"');
  });
});
