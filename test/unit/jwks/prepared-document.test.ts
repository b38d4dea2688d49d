import { expect } from 'chai';
import type { PublicJwk } from '../../../src/domain/jwk.ts';
import { notModifiedHeaders, okHeaders, type Representation } from '../../../src/jwks/prepared-document.ts';
import { prepared } from './prepared.ts';

const key: PublicJwk = { kty: 'RSA', use: 'sig', alg: 'RS256', kid: 'k', n: 'AQAB', e: 'AQAB' };
const now = new Date('2026-01-01T00:00:00Z');

const okOf = (form: Representation | undefined): readonly string[] => okHeaders(form!, form!.body!);

function cacheControl(maxAge: number, revokedUntil?: string): string | undefined {
  const ok = okOf(prepared({ keys: [key], ...(revokedUntil && { revokedUntil }) }, maxAge, now));
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
    expect(prepared({ keys: [key], revokedUntil }, 300, now).staleAt).to.equal(Date.parse(revokedUntil));
    expect(prepared({ keys: [key] }, 300, now).staleAt).to.equal(Number.POSITIVE_INFINITY);
  });

  it('gives the bytes an ETag of their own, whatever the caching headers are', () => {
    const { etag } = prepared({ keys: [key] }, 300, now);
    expect(etag).to.match(/^"[\w-]{43}"$/);
    expect(prepared({ keys: [key], revokedUntil: '2027-01-01T00:00:00Z' }, 60, now).etag).to.equal(etag);
    expect(prepared({ keys: [{ ...key, kid: 'l' }] }, 300, now).etag).not.to.equal(etag);
  });

  it('counts bytes and not characters', () => {
    const document = prepared({ keys: [{ ...key, kid: 'ключ' }] }, 300, now);
    const [{ body }, ok] = [document, okOf(document)];
    expect(body).to.be.instanceOf(Buffer);
    expect(ok[ok.indexOf('Content-Length') + 1]).to.equal(String(body?.length));
  });

  it('gives the gzip form an ETag and a length of its own, and lets caches keep both apart', () => {
    const document = prepared({ keys: [key] }, 300, now, Buffer.from('compressed'));
    const { body, etag, gzip } = document;
    const ok = okOf(document);
    const header = (headers: readonly string[], name: string): string | undefined => headers[headers.indexOf(name) + 1];
    expect(gzip?.body?.toString()).to.equal('compressed');
    expect(okOf(gzip)).to.include.members(['Content-Encoding', 'gzip', 'application/json']);
    expect(header(okOf(gzip), 'Content-Length')).to.equal('10');
    expect(gzip?.etag)
      .to.match(/^"[\w-]{43}"$/)
      .and.not.equal(etag);
    expect(etag).to.equal(prepared({ keys: [key] }, 300, now).etag);
    expect(body).to.equal(prepared({ keys: [key] }, 300, now).body);
    expect(ok).not.to.include('Content-Encoding');
    for (const headers of [ok, notModifiedHeaders(document), okOf(gzip), notModifiedHeaders(gzip!)]) {
      expect(header(headers, 'Vary')).to.equal('Accept-Encoding');
    }
    expect(okOf(prepared({ keys: [key] }, 300, now))).not.to.include('Vary');
  });

  it('has no body without keys', () => {
    expect(prepared({ keys: [] }, 300, now)).to.have.property('body', undefined);
  });
});
