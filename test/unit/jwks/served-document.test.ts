import { expect } from 'chai';
import type { PublicJwk } from '../../../src/domain/public-jwk.ts';
import { sliceBytes } from '../../../src/jwks/client-connections.ts';
import { createServedDocument } from '../../../src/jwks/served-document.ts';
import type { ServedDocument } from '../../../src/jwks/source.ts';

const n = Buffer.alloc(256, 0x81).toString('base64url');
const key: PublicJwk = { kty: 'RSA', use: 'sig', alg: 'RS256', kid: 'k', n, e: 'AQAB' };

function read(keys: readonly object[], more: object = {}): ServedDocument | undefined {
  return createServedDocument(Buffer.from(JSON.stringify({ keys, ...more })));
}

describe('createServedDocument', () => {
  it('createServedDocument serves the six members in a fixed order, whatever their order in the file, and nothing else of the file', () => {
    const { kid, e, ...rest } = key;
    const file = JSON.stringify({ revokedUntil: '2026-01-02T00:00:00Z', keys: [{ e, kid, ...rest }] }, undefined, 2);
    const document = createServedDocument(Buffer.from(file));
    expect(document?.body).to.equal(JSON.stringify({ keys: [key] }));
    expect(document?.revokedUntil).to.equal(Date.parse('2026-01-02T00:00:00Z'));
  });

  it('createServedDocument derives the ETag from the body alone', () => {
    const etag = read([key])?.etag;
    expect(etag).to.match(/^"[\w-]{43}"$/);
    expect(read([key], { revokedUntil: '2027-01-01T00:00:00Z' })?.etag).to.equal(etag);
    expect(read([{ ...key, kid: 'l' }])?.etag).not.to.equal(etag);
  });

  it('createServedDocument counts bytes, not characters', () => {
    const document = read([{ ...key, kid: 'ключ' }]);
    expect(document?.bytes).to.equal(Buffer.byteLength(JSON.stringify({ keys: [{ ...key, kid: 'ключ' }] })));
  });

  it('createServedDocument keeps a body that is sent in slices as bytes', () => {
    const many = read(Array.from({ length: 50 }, (_, at) => ({ ...key, kid: `k${at}` })));
    expect(many?.bytes).to.be.greaterThan(sliceBytes);
    expect(many?.body).to.be.instanceOf(Buffer).with.property('length', many?.bytes);
  });

  it('createServedDocument returns no document for a file without keys', () => {
    expect(read([])).to.equal(undefined);
    expect(read([], { revokedUntil: '2027-01-01T00:00:00Z' })).to.equal(undefined);
  });
});
