import { expect } from 'chai';
import * as fc from 'fast-check';
import { METHODS, createServer } from 'node:http';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import request from 'supertest';
import type { PublicJwk } from '../../../src/domain/jwk.ts';
import { createApp } from '../../../src/jwks/app.ts';
import { prepared } from './prepared.ts';

const now = new Date('2026-01-01T00:00:00Z');
const key: PublicJwk = { kty: 'RSA', use: 'sig', alg: 'RS256', kid: 'k', n: 'AQAB', e: 'AQAB' };
const path = '/registrations/gradebook/canvas/jwks.json';
const emptyPath = '/registrations/gradebook/empty/jwks.json';
const largePath = '/namespaces/gradebook/jwks.json';
const document = prepared({ keys: [key] }, 300, now);

const gzipped = gzipSync('{"keys":"compressed"}');
const large = prepared({ keys: [key, { ...key, kid: 'l' }] }, 300, now, gzipped);

/** Sends bytes as they are and gives the status line's code; '' where the server only hangs up. */
function raw(server: Server, bytes: string): Promise<string> {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server does not listen');
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(address.port, '127.0.0.1', () => socket.end(bytes, 'latin1'));
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}

function dateless(answer: string): string {
  return answer.replace(/^Date: .*$/m, '');
}

describe('the public port', () => {
  let server: Server;
  let synced: boolean;
  let draining: boolean;
  let codes: number[];

  beforeEach((done) => {
    synced = true;
    draining = false;
    codes = [];
    const documents = new Map([
      [path, document],
      [largePath, large],
      [emptyPath, prepared({ keys: [] }, 300, now)],
    ]);
    const source = { documents, synced: () => synced, unread: (at: string) => at.startsWith('/registrations/unread/') };
    const metrics = { request: (code: number): void => void codes.push(code) };
    server = createServer(createApp({ source, metrics, draining: () => draining }));
    server.listen(0, '127.0.0.1', done);
  });

  afterEach((done) => {
    server.close(done);
    server.closeAllConnections();
  });

  it('answers 503, which keeps caches going, where a document may exist that could not be read, and 404 elsewhere', async () => {
    const { status, headers } = await request(server).get('/registrations/unread/canvas/jwks.json');
    expect(status).to.equal(503);
    expect(headers).to.include({ 'retry-after': '5', 'cache-control': 'no-store' });
    await request(server).get('/registrations/other/canvas/jwks.json').expect(404);
  });

  it('answers a document with all its headers', async () => {
    const { status, headers, text } = await request(server).get(path);
    expect(status).to.equal(200);
    expect(text).to.equal('{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"k","n":"AQAB","e":"AQAB"}]}');
    expect(headers).to.include({
      'content-type': 'application/json',
      'content-length': String(text.length),
      'cache-control': 'public, max-age=300, stale-while-revalidate=60, stale-if-error=3600',
      'access-control-allow-origin': '*',
      'x-content-type-options': 'nosniff',
      etag: document.etag,
    });
    expect(headers).to.have.property('date');
    expect(headers).not.to.have.property('x-powered-by');
    expect(codes).to.deep.equal([200]);
  });

  for (const target of [`${path}?x=1`, `${path}?`, `${path}#x`, `http://keys.example.org${path}?a[b]=c`]) {
    it(`answers ${target} with the same bytes`, async () => {
      const rest = 'HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil\r\nConnection: close\r\n\r\n';
      const answer = await raw(server, `GET ${target} ${rest}`);
      expect(answer).to.match(/^HTTP\/1.1 200 /);
      expect(dateless(answer)).to.equal(dateless(await raw(server, `GET ${path} ${rest}`)));
    });
  }

  it('answers HEAD with the same headers and no body', async () => {
    const answer = await raw(server, `HEAD ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
    expect(answer).to.include(`Content-Length: ${document.body?.length}\r\n`);
    expect(answer).to.match(/\r\n\r\n$/);
  });

  const etag = document.etag;
  const conditions: readonly (readonly [condition: string, status: number])[] = [
    [etag, 304],
    [`W/${etag}`, 304],
    [`"other", ${etag}`, 304],
    ['*', 304],
    ['"other"', 200],
    [etag.replaceAll('"', ''), 200],
    ['"*"', 200],
  ];
  for (const [condition, status] of conditions) {
    it(`answers ${status} if none matches ${condition.replace(etag, 'the ETag')}`, async () => {
      const answer = await request(server).get(path).set('If-None-Match', condition);
      expect(answer.status).to.equal(status);
      expect(answer.headers['etag']).to.equal(etag);
      expect(answer.headers['cache-control']).to.include('max-age=300');
      expect(codes).to.deep.equal([status]);
    });
  }

  it('takes the values of header lines of one name for a list, whatever the case of the name', async () => {
    const lines = `if-none-match: "other"\r\nIF-NONE-MATCH: ${etag}\r\n`;
    const answer = await raw(server, `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${lines}\r\n`);
    expect(answer).to.match(/^HTTP\/1.1 304 /);
  });

  it('gives each of two documents its own headers when they are asked for at once', async () => {
    const ask = (of: string, more = ''): string => `GET ${of} HTTP/1.1\r\nHost: h\r\n${more}\r\n`;
    const answers = await raw(server, ask(path) + ask(largePath, 'Connection: close\r\n'));
    const [first = '', second = ''] = answers.split(/(?<=[^])(?=HTTP\/1.1 )/);
    for (const [answer, { etag: own, body }] of [
      [first, document],
      [second, large],
    ] as const) {
      expect(answer).to.include(`\r\nETag: ${own}\r\n`).and.include(`\r\nContent-Length: ${body?.length}\r\n`);
      expect(answer.endsWith(`\r\n\r\n${body?.toString()}`)).to.equal(true);
    }
  });

  const codings: readonly (readonly [accepted: string | undefined, gzip: boolean])[] = [
    ['gzip', true],
    ['deflate, GZIP;q=0.5, identity;q=0.3', true],
    ['x-gzip', true],
    ['br, *', true],
    ['gzip;q=0, *', false],
    ['gzip; q=0.000', false],
    ['*;q=0', false],
    ['gzipped', false],
    ['identity', false],
    ['', false],
    [undefined, false],
  ];
  for (const [accepted, zipped] of codings) {
    it(`sends a large aggregate ${zipped ? 'gzipped' : 'as it is'} to a client that accepts ${accepted ?? 'what it says nothing of'}`, async () => {
      const header = accepted === undefined ? '' : `Accept-Encoding: ${accepted}\r\n`;
      const form = zipped ? large.gzip : large;
      const ask = (more: string): string =>
        `GET ${largePath} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${header}${more}\r\n`;
      const answer = await raw(server, ask(''));
      expect(answer.endsWith(`\r\n\r\n${form?.body?.toString('latin1')}`)).to.equal(true);
      expect(answer.includes('\r\nContent-Encoding: gzip\r\n')).to.equal(zipped);
      expect(answer).to.include(`\r\nETag: ${form?.etag}\r\n`).and.include('\r\nVary: Accept-Encoding\r\n');
      expect(await raw(server, ask(`If-None-Match: ${form?.etag}\r\n`))).to.match(
        /^HTTP\/1.1 304 [^]*\r\nVary: Accept-E/,
      );
      const other = zipped ? large : large.gzip;
      expect(await raw(server, ask(`If-None-Match: ${other?.etag}\r\n`))).to.match(/^HTTP\/1.1 200 /);
    });
  }

  it('sends a document that has no gzip form as it is, whatever the client accepts', async () => {
    const { headers } = await request(server).get(path).set('Accept-Encoding', 'gzip');
    expect(headers).not.to.have.any.keys('content-encoding', 'vary');
    expect(headers['etag']).to.equal(document.etag);
  });

  it('answers 503 before the first sync, for every path', async () => {
    synced = false;
    for (const target of [path, emptyPath, '/', '/nothing']) {
      const { status, headers } = await request(server).get(target);
      expect([target, status]).to.deep.equal([target, 503]);
      expect(headers).to.include({ 'cache-control': 'no-store', 'retry-after': '5' });
    }
  });

  it('answers 503 for a known document without keys, whatever the condition', async () => {
    const { status, headers } = await request(server).get(emptyPath).set('If-None-Match', '*');
    expect(status).to.equal(503);
    expect(headers).to.include({ 'cache-control': 'no-store', 'retry-after': '5' });
  });

  it('answers the same 404 to every other path, and repeats nothing of it', async () => {
    const bodies = new Set<string>();
    for (const target of [
      '/',
      '//',
      `${path}/`,
      path.toUpperCase(),
      '/%2e%2e/x',
      '/<script>',
      '*',
      'http://[/',
      '/%zz',
    ]) {
      const answer = await raw(server, `GET ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
      expect([target, answer.slice(0, 13)]).to.deep.equal([target, 'HTTP/1.1 404 ']);
      bodies.add(dateless(answer));
    }
    expect(bodies.size).to.equal(1);
  });

  it('takes no other method', async () => {
    for (const method of METHODS.filter((name) => !['GET', 'HEAD', 'OPTIONS', 'CONNECT'].includes(name))) {
      const answer = await raw(server, `${method} ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
      expect([method, answer.slice(0, 13)]).to.deep.equal([method, 'HTTP/1.1 405 ']);
      expect(answer).to.include('\r\nAllow: GET, HEAD, OPTIONS\r\n');
    }
  });

  it('lets browsers ask', async () => {
    const { status, headers } = await request(server).options(path);
    expect(status).to.equal(204);
    expect(headers).to.include({ 'access-control-allow-origin': '*', 'access-control-allow-methods': 'GET, HEAD' });
  });

  it('ends connections while it drains', async () => {
    const ask = `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;
    expect(await raw(server, ask)).to.include('\r\nConnection: keep-alive\r\n');
    draining = true;
    expect(await raw(server, ask)).to.match(/^HTTP\/1.1 200 [^]*\r\nConnection: close\r\n/);
  });

  it('answers anything a client may send, and nothing but 503 of the 5xx', async () => {
    const segment = fc.oneof(
      fc.constantFrom('registrations', 'gradebook', 'canvas', 'jwks.json', '..', '%00', ''),
      fc.string(),
    );
    const target = fc.oneof(
      fc.array(segment).map((segments) => `/${segments.join('/')}`),
      fc.webUrl({ withQueryParameters: true, withFragments: true }),
      fc.string(),
      fc.constantFrom(path, emptyPath),
    );
    const header = fc.tuple(fc.constantFrom('If-None-Match', 'X', 'Content-Length', 'Expect', 'Range'), fc.string());
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...METHODS, 'get', ''),
        target,
        fc.array(header),
        fc.boolean(),
        async (method, url, headers, up) => {
          synced = up;
          const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
          const answer = await raw(server, `${method} ${url} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${lines}\r\n`);
          expect(answer).to.match(/^(?:HTTP\/1\.1 (?:200|204|304|400|404|405|417|503) |$)/);
        },
      ),
      { numRuns: 300 },
    );
  });
});
