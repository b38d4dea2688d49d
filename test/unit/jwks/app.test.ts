import { expect } from 'chai';
import * as fc from 'fast-check';
import { METHODS } from 'node:http';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import request from 'supertest';
import { operatorUserAgent } from '../../../src/documents/fetch-report.ts';
import { createApp } from '../../../src/jwks/app.ts';
import { ClientConnections } from '../../../src/jwks/client-connections.ts';
import { createServedDocument } from '../../../src/jwks/served-document.ts';
import { createPublicServer } from '../../../src/jwks/server.ts';
import type { ServedDocument } from '../../../src/jwks/source.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

const n = Buffer.alloc(256, 0x81).toString('base64url');
const path = '/registrations/gradebook/canvas/jwks.json';
const emptyPath = '/registrations/gradebook/empty/jwks.json';
const largePath = '/namespaces/gradebook/jwks.json';
const text = setOf(1);
const document = served(1);
const large = served(100);

function setOf(count: number): string {
  const keys = Array.from({ length: count }, (_, at) => ({
    kty: 'RSA',
    use: 'sig',
    alg: 'RS256',
    kid: `k${at}`,
    n,
    e: 'AQAB',
  }));
  return JSON.stringify({ keys });
}

function served(count: number, more = ''): ServedDocument {
  return createServedDocument(Buffer.from(setOf(count).replace(/\}$/, `${more}}`)))!;
}

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

describe('The public port', () => {
  let server: Server;
  let synced: boolean;
  let draining: boolean;
  let codes: number[];
  let fetched: string[];
  let clock: FakeClock;
  let documents: Map<string, ServedDocument>;

  beforeEach((done) => {
    synced = true;
    draining = false;
    codes = [];
    fetched = [];
    clock = new FakeClock();
    documents = new Map([
      [path, document],
      [largePath, large],
    ]);
    const source = { documents, synced: () => synced, unread: (at: string) => at.startsWith('/registrations/unread/') };
    const metrics = { request: (code: number): void => void codes.push(code) };
    const connections = new ClientConnections(clock, { connections: 100, unfinishedBytes: 1024 * 1024 });
    const app = createApp({
      source,
      maxAge: 300,
      clock,
      connections,
      fetched: (at) => void fetched.push(at),
      draining: () => draining,
    });
    server = createPublicServer(app, { keepAlive: 3660, connections, metrics });
    server.listen(0, '127.0.0.1', done);
  });

  afterEach((done) => {
    server.close(done);
    server.closeAllConnections();
  });

  it('The public port answers 503, so that caches keep their copies, where an unread document may exist, and 404 elsewhere', async () => {
    const { status, headers } = await request(server).get('/registrations/unread/canvas/jwks.json');
    expect(status).to.equal(503);
    expect(headers).to.include({ 'retry-after': '5', 'cache-control': 'no-store' });
    await request(server).get('/registrations/other/canvas/jwks.json').expect(404);
  });

  it('The public port counts GET, HEAD and 304 as fetches of a document, and nothing else', async () => {
    await request(server).get(path).expect(200);
    await request(server).head(path).expect(200);
    await request(server).get(path).set('If-None-Match', document.etag).expect(304);
    await request(server).get(`${path}?cache=1`).expect(200);
    await request(server).get(largePath).expect(200);
    await request(server).get(emptyPath).expect(404);
    await request(server).options(path).expect(204);
    await request(server).post(path).expect(405);
    synced = false;
    await request(server).get(path).expect(503);
    expect(fetched).to.deep.equal([path, path, path, path, largePath]);
  });

  it('The public port does not count requests of the operator as fetches', async () => {
    await request(server).get(path).set('User-Agent', operatorUserAgent).expect(200);
    await request(server).get(path).set('User-Agent', 'lti-key-operator-fan/1').expect(200);
    expect(fetched).to.deep.equal([path]);
  });

  it('The public port answers a document with all its headers', async () => {
    const { status, headers, text: body } = await request(server).get(path);
    expect(status).to.equal(200);
    expect(body).to.equal(text);
    expect(headers).to.include({
      'content-type': 'application/json',
      'content-length': String(body.length),
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
    it(`The public port answers ${target} with the same bytes`, async () => {
      const rest = 'HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil\r\nConnection: close\r\n\r\n';
      const answer = await raw(server, `GET ${target} ${rest}`);
      expect(answer).to.match(/^HTTP\/1.1 200 /);
      expect(dateless(answer)).to.equal(dateless(await raw(server, `GET ${path} ${rest}`)));
    });
  }

  it('The public port answers HEAD with the same headers and no body', async () => {
    const answer = await raw(server, `HEAD ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
    expect(answer).to.include(`Content-Length: ${text.length}\r\n`);
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
    it(`The public port answers ${status} if none matches ${condition.replace(etag, 'the ETag')}`, async () => {
      const answer = await request(server).get(path).set('If-None-Match', condition);
      expect(answer.status).to.equal(status);
      expect(answer.headers['etag']).to.equal(etag);
      expect(answer.headers['cache-control']).to.include('max-age=300');
      expect(codes).to.deep.equal([status]);
    });
  }

  it('The public port combines header lines of the same name into a list, regardless of the case of the name', async () => {
    const lines = `if-none-match: "other"\r\nIF-NONE-MATCH: ${etag}\r\n`;
    const answer = await raw(server, `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${lines}\r\n`);
    expect(answer).to.match(/^HTTP\/1.1 304 /);
  });

  it('The public port gives two documents that are requested concurrently their own headers', async () => {
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

  it('The public port sends a document unchanged, regardless of the Accept headers', async () => {
    const { headers } = await request(server).get(largePath).set('Accept-Encoding', 'gzip');
    expect(headers).not.to.have.any.keys('content-encoding', 'vary');
    expect(headers['etag']).to.equal(large.etag);
  });

  it('The public port shortens the cache lifetime of a document after a revocation, until the time in its file', async () => {
    const until = new Date(clock.now().getTime() + 1000).toISOString();
    documents.set(path, served(1, `,"revokedUntil":"${until}"`));
    expect((await request(server).get(path)).headers['cache-control']).to.equal('public, max-age=60');
    await clock.advance(1000);
    expect((await request(server).get(path)).headers['cache-control']).to.include('max-age=300, stale-while');
  });

  it('The public port answers 503 before the first sync, for every path', async () => {
    synced = false;
    for (const target of [path, emptyPath, '/', '/nothing']) {
      const { status, headers } = await request(server).get(target);
      expect([target, status]).to.deep.equal([target, 503]);
      expect(headers).to.include({ 'cache-control': 'no-store', 'retry-after': '5' });
    }
  });

  it('The public port answers 404, on which no cache serves a stale copy, if there is no key', async () => {
    const { status, headers } = await request(server).get(emptyPath).set('If-None-Match', '*');
    expect(status).to.equal(404);
    expect(headers).to.include({ 'cache-control': 'no-store' }).and.not.to.have.any.keys('etag', 'retry-after');
  });

  it('The public port refuses a request with two Host headers, regardless of case, and answers one with many header lines', async () => {
    const ask = (lines: string): Promise<string> =>
      raw(server, `GET ${path} HTTP/1.1\r\n${lines}Connection: close\r\n\r\n`);
    for (const [first, second] of [
      ['Host: h', 'Host: h'],
      ['Host: h', 'HOST: evil'],
      ['host: h', 'X: y\r\nhoSt: '],
    ]) {
      expect(await ask(`${first}\r\n${second}\r\n`)).to.match(/^HTTP\/1.1 400 /);
    }
    expect(await ask('X: y\r\n')).to.match(/^HTTP\/1.1 400 /);
    const lines = Array.from({ length: 150 }, (_, at) => `X-Trace-${at}: 0123456789\r\n`).join('');
    expect(await ask(`Host: h\r\n${lines}`)).to.match(/^HTTP\/1.1 200 /);
    expect(codes).to.deep.equal([400, 400, 400, 400, 200]);
  });

  it('The public port counts requests that never reach a route: not HTTP, too long, or with an unknown expectation', async () => {
    const host = 'Host: h\r\nConnection: close\r\n';
    for (const [request_, code] of [
      ['G\0T / HTTP/1.1\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\n${host}X: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
      [`GET / HTTP/1.1\r\n${host}Expect: the worst\r\n\r\n`, 417],
    ] as const) {
      expect(await raw(server, request_)).to.match(new RegExp(`^HTTP/1.1 ${code} `));
      expect(codes.splice(0)).to.deep.equal([code]);
    }
  });

  it('The public port answers every other path with the same 404, which repeats nothing of the path', async () => {
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

  it('The public port refuses every other method', async () => {
    for (const method of METHODS.filter((name) => !['GET', 'HEAD', 'OPTIONS', 'CONNECT'].includes(name))) {
      const answer = await raw(server, `${method} ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`);
      expect([method, answer.slice(0, 13)]).to.deep.equal([method, 'HTTP/1.1 405 ']);
      expect(answer).to.include('\r\nAllow: GET, HEAD, OPTIONS\r\n');
    }
  });

  it('The public port answers preflight requests of browsers', async () => {
    const { status, headers } = await request(server).options(path);
    expect(status).to.equal(204);
    expect(headers).to.include({ 'access-control-allow-origin': '*', 'access-control-allow-methods': 'GET, HEAD' });
  });

  it('The public port closes connections while it drains', async () => {
    const ask = `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;
    expect(await raw(server, ask)).to.include('\r\nConnection: keep-alive\r\n');
    draining = true;
    expect(await raw(server, ask)).to.match(/^HTTP\/1.1 200 [^]*\r\nConnection: close\r\n/);
  });

  it('The public port answers any request, and 503 is the only 5xx', async () => {
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
