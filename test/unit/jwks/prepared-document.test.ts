import { expect } from 'chai';
import type { PublicJwk } from '../../../src/domain/jwk.ts';
import { prepareDocument } from '../../../src/jwks/prepared-document.ts';

const key: PublicJwk = { kty: 'RSA', use: 'sig', alg: 'RS256', kid: 'k', n: 'AQAB', e: 'AQAB' };
const now = new Date('2026-01-01T00:00:00Z');

function cacheControl(maxAge: number, revokedUntil?: string): string | undefined {
  const { ok } = prepareDocument({ keys: [key], ...(revokedUntil && { revokedUntil }) }, maxAge, now);
  return ok[ok.indexOf('Cache-Control') + 1];
}

describe('prepareDocument', () => {
  it('shortens the life of a document that lost a key to revocation, until the time it says', () => {
    expect(cacheControl(300, '2026-01-01T00:00:01Z')).to.equal('public, max-age=60');
    expect(cacheControl(30, '2026-01-01T00:00:01Z')).to.equal('public, max-age=30');
    expect(cacheControl(300, '2026-01-01T00:00:00Z')).to.equal(
      'public, max-age=300, stale-while-revalidate=60, stale-if-error=3600',
    );
  });

  it('is to be prepared again when that time has come', () => {
    const revokedUntil = '2026-01-01T00:00:01Z';
    expect(prepareDocument({ keys: [key], revokedUntil }, 300, now).staleAt).to.equal(Date.parse(revokedUntil));
    expect(prepareDocument({ keys: [key] }, 300, now).staleAt).to.equal(Number.POSITIVE_INFINITY);
  });

  it('gives the bytes an ETag of their own, whatever the caching headers are', () => {
    const { etag } = prepareDocument({ keys: [key] }, 300, now);
    expect(etag).to.match(/^"[\w-]{43}"$/);
    expect(prepareDocument({ keys: [key], revokedUntil: '2027-01-01T00:00:00Z' }, 60, now).etag).to.equal(etag);
    expect(prepareDocument({ keys: [{ ...key, kid: 'l' }] }, 300, now).etag).not.to.equal(etag);
  });

  it('counts bytes and not characters', () => {
    const { body, ok } = prepareDocument({ keys: [{ ...key, kid: 'ключ' }] }, 300, now);
    expect(body).to.be.instanceOf(Buffer);
    expect(ok[ok.indexOf('Content-Length') + 1]).to.equal(String(body?.length));
  });

  it('has no body without keys', () => {
    expect(prepareDocument({ keys: [] }, 300, now)).not.to.have.property('body');
  });
});
