import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server as HttpServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect } from 'chai';
import { DocumentFetcher } from '../../../../src/controller/publication/document-fetcher.ts';
import { isOperatorRequest } from '../../../../src/documents/fetch-report.ts';
import type { FetchedDocument } from '../../../../src/controller/publication/fetched-document.ts';
import { systemClock } from '../../../../src/lib/clock.ts';
import { FakeClock } from '../../../fakes/fake-clock.ts';

const never = (): boolean => false;

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(5);
}

describe('DocumentFetcher', () => {
  let documents: DocumentFetcher;
  let servers: Server[];
  let asked: (string | undefined)[];

  beforeEach(() => {
    documents = new DocumentFetcher(systemClock);
    servers = [];
    asked = [];
  });
  afterEach(async () => {
    await documents.close();
    for (const server of servers) server.close();
  });

  async function listening(server: Server): Promise<number> {
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  }

  const keySet: RequestListener = (request, response) => {
    asked.push(request.headers['if-none-match']);
    if (request.headers['if-none-match'] === '"1"') {
      response.writeHead(304).end();
      return;
    }
    response.writeHead(200, { ETag: '"1"', 'Cache-Control': 'public, max-age=300, stale-if-error=60' });
    response.end('{"keys":[{"kid":"a"},{"kid":"b"}]}');
  };
  const serve = async (listener: RequestListener): Promise<string> =>
    `http://127.0.0.1:${await listening(createServer(listener))}`;

  const keyIDs = ({ keys }: FetchedDocument): readonly string[] | undefined =>
    keys && ['a', 'b', 'c'].filter((keyID) => keys.hasID(keyID));

  it('DocumentFetcher reads the keys and the cache lifetime of a document', async () => {
    const document = await documents.fetch(await serve(keySet));
    expect(keyIDs(document)).to.deep.equal(['a', 'b']);
    expect([document.cacheLifetime, document.problem]).to.deep.equal([360_000, undefined]);
  });

  it('DocumentFetcher names the operator as User-Agent, so that sidecars do not count its requests as fetches', async () => {
    let userAgent: string | undefined;
    const base = await serve((request, response) => {
      userAgent = request.headers['user-agent'];
      keySet(request, response);
    });
    await documents.fetch(base);
    expect(isOperatorRequest(userAgent)).to.equal(true);
  });

  it('DocumentFetcher takes 404 for a document without keys', async () => {
    const document = await documents.fetch(
      await serve((_request, response) => response.writeHead(404).end('not found')),
    );
    expect(keyIDs(document)).to.deep.equal([]);
    expect(document.problem).to.equal('responds with status 404');
  });

  it('DocumentFetcher keeps the longest lifetime of a replica, which 404 does not shorten', async () => {
    const base = await serve((request, response) =>
      request.url === '/a' ? keySet(request, response) : response.writeHead(404, { 'Cache-Control': 'no-store' }).end(),
    );
    await documents.fetch(`${base}/a`);
    await documents.fetch(`${base}/b`);
    expect(documents.longestLifetime([base, 'http://127.0.0.1:9'])).to.equal(360_000);
    documents.keepOnly([]);
    await documents.fetch(`${base}/b`);
    expect(documents.longestLifetime([base])).to.equal(360_000);
  });

  it('DocumentFetcher requests an aggregate with its ETag the next time, and takes 304 for an unchanged document', async () => {
    const url = await serve(keySet);
    const first = await documents.fetchAggregate(url, never);
    expect(await documents.fetchAggregate(url, never)).to.equal(first);
    expect(asked).to.deep.equal([undefined, '"1"']);
  });

  describe('for an aggregate that was requested in the last ten seconds', () => {
    let clock: FakeClock;
    let url: string;
    let unavailable: boolean;
    const hasA = ({ keys }: FetchedDocument): boolean => keys?.hasID('a') === true;
    const hasC = ({ keys }: FetchedDocument): boolean => keys?.hasID('c') === true;

    beforeEach(async () => {
      await documents.close();
      clock = new FakeClock();
      documents = new DocumentFetcher(clock);
      unavailable = false;
      url = `${await serve((request, response) =>
        unavailable ? response.writeHead(503).end() : keySet(request, response),
      )}/a`;
      await documents.fetchAggregate(url, never);
    });

    it('DocumentFetcher sends no request if the last response suffices', async () => {
      await clock.advance(9999);
      expect(keyIDs(await documents.fetchAggregate(url, hasA))).to.deep.equal(['a', 'b']);
      expect(asked).to.have.length(1);
    });

    it('DocumentFetcher sends a request if the response does not suffice', async () => {
      await documents.fetchAggregate(url, hasC);
      expect(asked).to.have.length(2);
    });

    it('DocumentFetcher sends a request for an aggregate after ten seconds', async () => {
      await clock.advance(10_000);
      await documents.fetchAggregate(url, hasA);
      expect(asked).to.have.length(2);
    });

    it('DocumentFetcher does not use the response again after a later request has failed', async () => {
      unavailable = true;
      await documents.fetchAggregate(url, never);
      expect((await documents.fetchAggregate(url, hasA)).problem).to.equal('responds with status 503');
    });

    it('DocumentFetcher drops the response a minute after the last request for it', async () => {
      await clock.advance(60_000);
      await documents.fetchAggregate(`${url}/other`, never);
      await documents.fetchAggregate(url, never);
      expect(asked).to.deep.equal([undefined, undefined, undefined]);
    });
  });

  const refusals: readonly (readonly [what: string, listener: RequestListener, problem: string])[] = [
    ['an error', (_request, response) => response.writeHead(503).end(), 'responds with status 503'],
    [
      'a redirect',
      (_request, response) => response.writeHead(302, { Location: '/' }).end(),
      'responds with status 302',
    ],
    ['no JSON', (_request, response) => response.end('<html>'), 'is not a JWK Set'],
    ['another JSON', (_request, response) => response.end('{"keys":{}}'), 'is not a JWK Set'],
    ['a connection that breaks', (request) => request.socket.destroy(), 'does not respond (UND_ERR_SOCKET)'],
  ];
  for (const [what, listener, problem] of refusals) {
    it(`DocumentFetcher does not know the keys of a document if the response is ${what}, and returns the problem`, async () => {
      const document = await documents.fetch(await serve(listener));
      expect(document.keys).to.equal(undefined);
      expect(document.problem).to.equal(problem);
    });
  }

  it('DocumentFetcher waits at most 5 s for a replica, and then pauses the requests to it', async () => {
    let requests = 0;
    const url = await serve((_request, response) => {
      requests += 1;
      response.writeHead(200).write('{"keys":');
    });
    const began = performance.now();
    const { problem } = await documents.fetch(`${url}/a`);
    expect(performance.now() - began).to.be.within(4900, 9000);
    expect(problem).to.equal('does not respond within 5 s');
    const [again, shared] = await Promise.all([
      documents.fetch(`${url}/b`),
      documents.fetchAggregate(`${url}/c`, never),
    ]);
    expect([again.problem, shared.problem]).to.deep.equal([problem, problem]);
    expect(requests).to.equal(1);
    documents.keepOnly([]);
    const asking = documents.fetch(`${url}/d`);
    await until(() => requests === 2);
    for (const server of servers) (server as HttpServer).closeAllConnections();
    expect((await asking).problem).to.match(/^does not respond \(/);
  });

  it('DocumentFetcher keeps the state of current replicas, and drops that of all others', async () => {
    const url = await serve(keySet);
    const first = await documents.fetchAggregate(`${url}/a`, never);
    documents.keepOnly(['http://127.0.0.1:9', url]);
    expect(await documents.fetchAggregate(`${url}/a`, never)).to.equal(first);
    documents.keepOnly([]);
    expect(await documents.fetchAggregate(`${url}/a`, never)).to.not.equal(first);
    expect(asked).to.deep.equal([undefined, '"1"', undefined]);
  });

  it('DocumentFetcher accepts any certificate from a replica requested by its address, and only a valid one from a named host', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'certificate-'));
    const [certificate, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=keys.example.org', '-days', '2'];
    execFileSync('openssl', [...request, '-out', certificate, '-keyout', key], { stdio: 'ignore' });
    const options = { cert: readFileSync(certificate), key: readFileSync(key) };
    await rm(folder, { recursive: true });
    const port = await listening(createSecureServer(options, keySet));
    expect(keyIDs(await documents.fetch(`https://127.0.0.1:${port}`))).to.deep.equal(['a', 'b']);
    const named = await documents.fetch(`https://localhost:${port}`);
    expect(named.problem).to.match(/^does not respond \((DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN)\)$/);
  });

  describe('with a file of CA certificates', () => {
    let folder: string;
    let file: string;

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'authority-'));
      file = join(folder, 'ca.crt');
      await documents.close();
      documents = new DocumentFetcher(systemClock, file);
    });
    afterEach(() => rm(folder, { recursive: true }));

    /** An HTTPS server for `localhost`, and the certificate of the authority that vouches for it. */
    async function vouchedFor(name: string): Promise<{ readonly url: string; readonly authority: string }> {
      const at = (what: string): string => join(folder, `${name}.${what}`);
      const openssl = (...args: readonly string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' });
      const made = ['-newkey', 'rsa:2048', '-nodes', '-days', '2'];
      openssl('req', '-x509', ...made, '-subj', `/CN=${name}`, '-out', at('ca'), '-keyout', at('ca-key'));
      const signed = ['-CA', at('ca'), '-CAkey', at('ca-key'), '-addext', 'subjectAltName=DNS:localhost'];
      const subject = ['-subj', '/CN=localhost', '-out', at('crt'), '-keyout', at('key')];
      openssl('req', '-x509', ...made, ...signed, ...subject);
      const options = { cert: readFileSync(at('crt')), key: readFileSync(at('key')) };
      const server = createSecureServer(options, (request, response) => {
        response.setHeader('Connection', 'close');
        keySet(request, response);
      });
      return { url: `https://localhost:${await listening(server)}`, authority: readFileSync(at('ca'), 'utf8') };
    }

    it('DocumentFetcher trusts the certificates that a CA in the file has signed, also after the file was renewed, and no others', async () => {
      const first = await vouchedFor('first');
      const second = await vouchedFor('second');
      await writeFile(file, first.authority);
      expect(keyIDs(await documents.fetch(first.url))).to.deep.equal(['a', 'b']);
      expect((await documents.fetch(second.url)).problem).to.match(/^does not respond \(/);
      await writeFile(file, first.authority + second.authority);
      documents.keepOnly([]);
      for (const { url } of [first, second]) expect(keyIDs(await documents.fetch(url))).to.deep.equal(['a', 'b']);
      await writeFile(file, second.authority);
      expect((await documents.fetch(first.url)).problem).to.match(/^does not respond \(/);
    });

    for (const [what, content, reason] of [
      ['does not exist', undefined, 'ENOENT: no such file or directory'],
      ['is not a PEM file', 'no certificate', 'it contains no PEM certificate'],
    ] as const) {
      it(`DocumentFetcher returns the problem if the file ${what}, and sends requests again when the file is valid`, async () => {
        const { url, authority } = await vouchedFor('right');
        if (content !== undefined) await writeFile(file, content);
        expect((await documents.fetch(url)).problem).to.include(
          `is not requested: --jwks-public-ca-file ${file} cannot be used: ${reason}`,
        );
        await writeFile(file, authority);
        documents.keepOnly([]);
        expect(keyIDs(await documents.fetch(url))).to.deep.equal(['a', 'b']);
      });
    }
  });
});
