import { expect } from 'chai';
import { hour } from '../../../src/domain/duration.ts';
import type { LedgerKey } from '../../../src/domain/ledger.ts';
import { revocationVerdict } from '../../../src/domain/revocation.ts';

const revokedAt = Date.parse('2026-11-23T12:00:00Z');
const key: LedgerKey = {
  revision: 1,
  keyID: 'kid-1',
  algorithm: 'RS256',
  size: 2048,
  publicJWK: { kty: 'RSA', use: 'sig', alg: 'RS256', kid: 'kid-1', n: 'n', e: 'AQAB' },
  state: 'Revoked',
  cause: 'Initial',
  createdAt: 0,
  revokedAt,
};

describe('how long a platform may accept a revoked key', () => {
  for (const platform of ['Canvas', 'Sakai', 'OpenEdX']) {
    it(`${platform}: not at all, for it fetches the set each time`, () => {
      const verdict = revocationVerdict(platform, key, revokedAt);
      expect(verdict).to.include({ status: 'True', reason: 'RevocationEffective' });
      expect(verdict?.message).to.include('access tokens granted before live up to 1h longer');
    });
  }

  it('Moodle: without a limit in time, and the message says what ends it', () => {
    const verdict = revocationVerdict('Moodle', key, revokedAt + 1000 * hour);
    expect(verdict).to.include({ status: 'Unknown', reason: 'RevokedKeyMayBeAccepted' });
    expect(verdict?.message).to.include('request one access token with the new key');
  });

  for (const [platform, hours] of [
    ['Blackboard', 10],
    ['Brightspace', 24],
    ['Other', 24],
    ['something new', 24],
  ] as const) {
    it(`${platform}: up to ${hours} hours, and then no longer`, () => {
      const during = revocationVerdict(platform, key, revokedAt + hours * hour - 1);
      expect(during).to.include({ status: 'False', reason: 'RevokedKeyMayBeAccepted' });
      expect(during?.message).to.include(hours === 10 ? '2026-11-23T22:00:00Z' : '2026-11-24T12:00:00Z');
      expect(revocationVerdict(platform, key, revokedAt + hours * hour)).to.include({ status: 'True' });
    });
  }

  it('says nothing of a key that was not revoked', () => {
    const { revokedAt: _, ...live } = key;
    expect(revocationVerdict('Canvas', live, revokedAt)).to.equal(undefined);
  });
});
