import { expect } from 'chai';
import { FetchCounts } from '../../../src/jwks/fetch-counts.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

describe('FetchCounts', () => {
  let clock: FakeClock;
  let documents: Set<string>;
  let counts: FetchCounts;

  beforeEach(() => {
    clock = new FakeClock();
    documents = new Set(['/a', '/b']);
    counts = new FetchCounts(documents, clock);
  });

  it('FetchCounts reports how often each document was fetched, and how long ago, rounded up to seconds', async () => {
    counts.add('/a');
    await clock.advance(60_000);
    counts.add('/a');
    counts.add('/b');
    await clock.advance(1001);
    expect([...counts.report()]).to.deep.equal([
      ['/a', { count: 2, secondsAgo: 2 }],
      ['/b', { count: 1, secondsAgo: 2 }],
    ]);
  });

  it('FetchCounts reports the documents that were fetched in the last seconds', async () => {
    counts.add('/a');
    await clock.advance(60_000);
    counts.add('/b');
    await clock.advance(30_000);
    expect([...counts.report(30).keys()]).to.deep.equal(['/b']);
    expect([...counts.report(90).keys()]).to.deep.equal(['/a', '/b']);
    expect([...counts.report(29).keys()]).to.deep.equal([]);
  });

  it('FetchCounts drops the counts of documents that are gone', () => {
    counts.add('/a');
    documents.delete('/a');
    expect([...counts.report().keys()]).to.deep.equal([]);
    documents.add('/a');
    expect([...counts.report().keys()], 'a new document with the same path').to.deep.equal([]);
  });

  it('FetchCounts never holds more counts than documents, even if it is never asked for a report', () => {
    const size = (): number => [...counts.report().keys()].length;
    for (let name = 0; name < 1000; name += 1) {
      const path = `/${name}`;
      documents.add(path);
      counts.add(path);
      documents.delete(path);
    }
    for (let name = 0; name < 1000; name += 1) documents.add(`/${name}`);
    expect(size()).to.be.at.most(3);
  });
});
