import { expect } from 'chai';
import { hour, minute } from '../../../src/domain/duration.ts';
import { type RevocationFacts, revocationVerdict } from '../../../src/domain/platforms.ts';

const absentAt = Date.parse('2026-11-23T12:00:00Z');

function facts(more: Partial<RevocationFacts>): RevocationFacts {
  return {
    platform: 'Canvas',
    keyID: 'kid-1',
    absentAt,
    cacheLifetime: 0,
    stillServed: undefined,
    now: absentAt,
    ...more,
  };
}

describe('How long a platform may accept a revoked key', () => {
  for (const platform of ['Canvas', 'Sakai', 'OpenEdX']) {
    it(`${platform} accepts it no more once nobody serves it, because it fetches the set each time`, () => {
      const verdict = revocationVerdict(facts({ platform }));
      expect(verdict).to.include({ status: 'True', reason: 'RevocationEffective' });
      expect(verdict.message).to.include('access tokens issued earlier stay valid for up to 1h more');
    });
  }

  it('Moodle accepts it without a limit in time, and the message says what ends it', () => {
    const verdict = revocationVerdict(facts({ platform: 'Moodle', now: absentAt + 1000 * hour }));
    expect(verdict).to.include({ status: 'Unknown', reason: 'RevocationPending' });
    expect(verdict.message).to.include('request one access token with the new key');
  });

  for (const [platform, hours] of [
    ['Blackboard', 10],
    ['Brightspace', 24],
    ['Other', 24],
    ['something new', 24],
  ] as const) {
    it(`${platform} accepts it up to ${hours} hours after it was observed absent, and then no longer`, () => {
      const at = (now: number) => revocationVerdict(facts({ platform, now, cacheLifetime: hour }));
      const during = at(absentAt + hours * hour - 1);
      expect(during).to.include({ status: 'False', reason: 'RevocationPending' });
      expect(during.message).to.include(hours === 10 ? '2026-11-23T22:00:00Z' : '2026-11-24T12:00:00Z');
      expect(at(absentAt + hours * hour)).to.include({ status: 'True' });
    });
  }

  it('A cache in front of a platform that keeps nothing may hold it for the announced lifetime', () => {
    const at = (now: number) => revocationVerdict(facts({ now, cacheLifetime: 66 * minute }));
    const during = at(absentAt + 66 * minute - 1);
    expect(during).to.include({ status: 'False', reason: 'RevocationPending' });
    expect(during.message).to.include(
      'until 2026-11-23T13:06:00Z: caches between it and the operator may keep a document with the key for 1h6m',
    );
    const after = at(absentAt + 66 * minute);
    expect(after).to.include({ status: 'True', reason: 'RevocationEffective' });
    expect(after.message).to.include('it fetches the key set for every token request');
  });

  it('A key that somebody still serves is never called gone, however long ago it was absent', () => {
    const stillServed = 'http://10.0.0.2:8080/a still serves it';
    for (const platform of ['Canvas', 'Moodle', 'Other']) {
      const verdict = revocationVerdict(facts({ platform, stillServed, now: absentAt + 1000 * hour }));
      expect(verdict).to.deep.equal({
        status: 'False',
        reason: 'RevokedKeyStillServed',
        message: 'revoked key kid-1 may still be served: http://10.0.0.2:8080/a still serves it',
      });
    }
  });

  it('A key that was not observed absent yet is not called gone', () => {
    const verdict = revocationVerdict(facts({ absentAt: undefined, now: absentAt + 1000 * hour }));
    expect(verdict).to.include({ status: 'Unknown', reason: 'RevocationPending' });
    expect(verdict.message).to.include('have not been asked yet');
  });
});
