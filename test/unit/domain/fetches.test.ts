import { expect } from 'chai';
import { day, hour, second } from '../../../src/domain/duration.ts';
import { fetchTimeToRecord, isFetched, isFetchedWithout, knownFetches } from '../../../src/domain/fetches.ts';
import { formatInstant } from '../../../src/domain/duration.ts';
import { aKey, epoch } from '../../builders/ledger.ts';

const recorded = formatInstant(epoch);
const { publishedAt: _, ...unpublished } = aKey(2, 'Next');

describe('The known fetches of a registration', () => {
  for (const [what, reported, status, lastAt] of [
    ['nothing', undefined, undefined, undefined],
    ['what replicas report', { lastAt: epoch, complete: true }, undefined, epoch],
    ['what the status recorded', undefined, recorded, epoch],
    ['the later of the two', { lastAt: epoch + hour, complete: true }, recorded, epoch + hour],
    ['the recorded time after all replicas restarted', { lastAt: epoch - hour, complete: true }, recorded, epoch],
    ['no time of the future', { complete: true }, formatInstant(epoch + 3 * day), undefined],
    ['no text that is not a time', { complete: true }, 'yesterday', undefined],
  ] as const) {
    it(`knownFetches returns ${what}`, () => {
      const known = knownFetches(reported, status, epoch + day);
      expect(known).to.deep.equal({ complete: reported !== undefined, ...(lastAt === undefined ? {} : { lastAt }) });
    });
  }
});

describe('The recorded time of the last fetch', () => {
  const next = aKey(2, 'Next', { publishedAt: epoch + hour });
  const revoked = aKey(1, 'Revoked', { absentAt: epoch + hour });
  for (const [what, lastAt, status, key, expected] of [
    ['is absent before the first fetch', undefined, undefined, undefined, undefined],
    ['is the first fetch', epoch, undefined, undefined, epoch],
    ['stays for a day', epoch + day - second, recorded, undefined, epoch],
    ['follows after a day', epoch + day, recorded, undefined, epoch + day],
    ['stays if nothing was fetched since', epoch, recorded, undefined, epoch],
    ['stays while the next key was not fetched', epoch + hour - second, recorded, next, epoch],
    ['follows when the next key is fetched', epoch + hour, recorded, next, epoch + hour],
    ['stays after the next key was fetched', epoch + 3 * hour, formatInstant(epoch + 2 * hour), next, epoch + 2 * hour],
    ['stays while the key set without a revoked key was not fetched', epoch + hour, recorded, revoked, epoch],
    ['follows when it is fetched', epoch + hour + 2 * second, recorded, revoked, epoch + hour + 2 * second],
    ['stays after it was fetched', epoch + 3 * hour, formatInstant(epoch + 2 * hour), revoked, epoch + 2 * hour],
    ['stays while the next key is not published', epoch + hour, recorded, unpublished, epoch],
  ] as const) {
    it(what, () => {
      const fetches = { complete: true, ...(lastAt === undefined ? {} : { lastAt }) };
      expect(fetchTimeToRecord(fetches, status, { keys: key ? [key] : [] })).to.equal(expected);
    });
  }
});

describe('isFetched', () => {
  const key = aKey(2, 'Next', { publishedAt: epoch });
  it('A key counts as fetched if its document was fetched since every replica has served it', () => {
    expect(isFetched({ lastAt: epoch, complete: false }, key)).to.equal(true);
    expect(isFetched({ lastAt: epoch - 1, complete: true }, key)).to.equal(false);
    expect(isFetched({ complete: true }, key)).to.equal(false);
    expect(isFetched({ lastAt: epoch, complete: true }, unpublished)).to.equal(false);
  });
});

describe('isFetchedWithout', () => {
  it('A key set counts as fetched without a revoked key if the fetch came later than the absence by more than the accuracy of reports', () => {
    const at = (lastAt: number) => isFetchedWithout({ lastAt, complete: true }, { absentAt: epoch });
    expect(at(epoch + 2 * second)).to.equal(true);
    expect(at(epoch + second)).to.equal(false);
    expect(isFetchedWithout({ complete: true }, { absentAt: epoch })).to.equal(false);
    expect(isFetchedWithout({ lastAt: epoch, complete: true }, {})).to.equal(false);
  });
});
