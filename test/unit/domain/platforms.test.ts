import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { hour, minute } from '../../../src/domain/duration.ts';
import {
  describeKeySetUse,
  fetchesOnlyAfterUse,
  type RevocationFacts,
  revocationVerdict,
} from '../../../src/domain/platforms.ts';

const absentAt = Date.parse('2026-11-23T12:00:00Z');

function facts(more: Partial<RevocationFacts>): RevocationFacts {
  return {
    platform: 'Canvas',
    keyID: 'kid-1',
    absentAt,
    cacheLifetime: 0,
    stillServed: undefined,
    fetchedAt: undefined,
    isAcknowledged: false,
    now: absentAt,
    ...more,
  };
}

describe('How long a platform may accept a revoked key', () => {
  for (const platform of ['Canvas', 'Sakai', 'OpenEdX']) {
    it(`${platform} no longer accepts the key once no replica serves it, because it fetches the key set each time`, () => {
      const verdict = revocationVerdict(facts({ platform }));
      expect(verdict).to.include({ status: 'True', reason: 'RevocationEffective' });
      expect(verdict.message).to.include('access tokens issued earlier stay valid for up to 1h more');
    });
  }

  it('Moodle may accept the key without a time limit, and the message says what ends it', () => {
    const verdict = revocationVerdict(facts({ platform: 'Moodle', now: absentAt + 1000 * hour }));
    expect(verdict).to.include({ status: 'Unknown', reason: 'RevocationPending' });
    expect(verdict.message).to.include('request one access token with the new key');
  });

  it('Moodle no longer accepts the key once the key set without it was fetched, and the message says what that assumes', () => {
    const verdict = revocationVerdict(
      facts({ platform: 'Moodle', fetchedAt: absentAt + minute, now: absentAt + hour }),
    );
    expect(verdict).to.include({ status: 'True', reason: 'RevocationEffective' });
    expect(verdict.message).to.include('fetched the key set at 2026-11-23T12:01:00Z').and.include('If that was Moodle');
  });

  it('A fetch ends nothing at a platform that may have several caches', () => {
    const verdict = revocationVerdict(
      facts({ platform: 'Blackboard', fetchedAt: absentAt + minute, now: absentAt + hour }),
    );
    expect(verdict).to.include({ status: 'False', reason: 'RevocationPending' });
  });

  for (const platform of ['Moodle', 'Blackboard', 'Other']) {
    it(`A user can acknowledge that ${platform} no longer accepts the key, but not while a replica serves it`, () => {
      const acknowledged = { platform, isAcknowledged: true, now: absentAt + minute };
      const verdict = revocationVerdict(facts(acknowledged));
      expect(verdict).to.include({ status: 'True', reason: 'RevocationEffective' });
      expect(verdict.message).to.include('as a user acknowledged');
      const served = revocationVerdict(facts({ ...acknowledged, stillServed: 'replica a serves it' }));
      expect(served).to.include({ status: 'False', reason: 'RevokedKeyStillServed' });
    });
  }

  for (const [platform, hours] of [
    ['Blackboard', 10],
    ['Brightspace', 24],
    ['Other', 24],
    ['something new', 24],
  ] as const) {
    it(`${platform} may accept the key for ${hours} hours after it was observed absent`, () => {
      const at = (now: number) => revocationVerdict(facts({ platform, now, cacheLifetime: hour }));
      const during = at(absentAt + hours * hour - 1);
      expect(during).to.include({ status: 'False', reason: 'RevocationPending' });
      expect(during.message).to.include(hours === 10 ? '2026-11-23T22:00:00Z' : '2026-11-24T12:00:00Z');
      expect(at(absentAt + hours * hour)).to.include({ status: 'True' });
    });
  }

  it('A cache in front of a platform that keeps no key set may hold the key for the announced lifetime', () => {
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

  it('A key that a replica still serves is reported as served, however long ago it was absent', () => {
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

  it('A revoked key that was not yet observed absent may still be served', () => {
    const verdict = revocationVerdict(facts({ absentAt: undefined, now: absentAt + 1000 * hour }));
    expect(verdict).to.include({ status: 'False', reason: 'RevokedKeyStillServed' });
    expect(verdict.message).to.include('no replica was checked since the revocation');
  });
});

describe('What a platform does with a key set', () => {
  for (const [platform, use] of [
    ['Canvas', 'fetches the key set for every token request; a removed key is refused at once'],
    [
      'Blackboard',
      'may keep a fetched key for 10 hours; fetches the key set if a key ID is unknown; a removed key may be accepted for 10h',
    ],
    [
      'Moodle',
      'keeps a fetched key set until it receives a token signed with another key; a removed key may be accepted until then',
    ],
    ['Other', undefined],
  ] as const) {
    it(`describeKeySetUse says how ${platform} uses it`, () => expect(describeKeySetUse(platform)).to.equal(use));
  }

  it('The CRD refuses activation AfterFetch for exactly the platforms that fetch a key only after use', () => {
    const crd = readFileSync(join(import.meta.dirname, '../../../crds/ltiregistrations.yaml'), 'utf8');
    const [, refused = ''] = /activation != 'AfterFetch' \|\| !\(self\.platform in \[(.*)\]\)/.exec(crd) ?? [];
    const [, all = ''] = /enum: \[(Canvas.*)\]/.exec(crd) ?? [];
    const platforms = all.split(', ');
    expect(platforms).to.include('Other');
    expect(refused.replaceAll("'", '').split(', ')).to.have.members(platforms.filter(fetchesOnlyAfterUse));
  });
});
