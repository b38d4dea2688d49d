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
import { ServedDocuments } from '../../../../src/controller/publication/documents.ts';
import type { ServedDocument } from '../../../../src/controller/publication/served-document.ts';
import { systemClock } from '../../../../src/lib/clock.ts';

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(5);
}

describe('ServedDocuments', () => {
  let documents: ServedDocuments;
  let servers: Server[];
  let asked: (string | undefined)[];

  beforeEach(() => {
    documents = new ServedDocuments(systemClock);
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

  const keyIDs = ({ keys }: ServedDocument): readonly string[] | undefined =>
    keys && ['a', 'b', 'c'].filter((keyID) => keys.hasID(keyID));

  it('reads keys and how long caches may keep them', async () => {
    const document = await documents.fetch(await serve(keySet));
    expect(keyIDs(document)).to.deep.equal(['a', 'b']);
    expect([document.cacheLifetime, document.problem]).to.deep.equal([360_000, undefined]);
  });

  it('takes 404 for an answer: no key is served there', async () => {
    const document = await documents.fetch(
      await serve((_request, response) => response.writeHead(404).end('not found')),
    );
    expect(keyIDs(document)).to.deep.equal([]);
    expect(document.problem).to.equal('answers 404');
  });

  it('remembers the longest lifetime of a replica, which 404 does not shorten', async () => {
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

  it('asks for a shared document with its ETag the next time, and takes 304 for the same', async () => {
    const url = await serve(keySet);
    const first = await documents.fetchShared(url);
    expect(await documents.fetchShared(url)).to.equal(first);
    expect(asked).to.deep.equal([undefined, '"1"']);
  });

  const refusals: readonly (readonly [what: string, listener: RequestListener, problem: string])[] = [
    ['an error', (_request, response) => response.writeHead(503).end(), 'answers 503'],
    ['a redirect', (_request, response) => response.writeHead(302, { Location: '/' }).end(), 'answers 302'],
    ['no JSON', (_request, response) => response.end('<html>'), 'gives no key set'],
    ['another JSON', (_request, response) => response.end('{"keys":{}}'), 'gives no key set'],
    ['a connection that breaks', (request) => request.socket.destroy(), 'gives no answer (UND_ERR_SOCKET)'],
  ];
  for (const [what, listener, problem] of refusals) {
    it(`takes ${what} for no answer, and says so`, async () => {
      const document = await documents.fetch(await serve(listener));
      expect(document.keys).to.equal(undefined);
      expect(document.problem).to.equal(problem);
    });
  }

  it('waits for no replica longer than 5 s, and asks it no more for a while', async () => {
    let questions = 0;
    const url = await serve((_request, response) => {
      questions += 1;
      response.writeHead(200).write('{"keys":');
    });
    const began = performance.now();
    const { problem } = await documents.fetch(`${url}/a`);
    expect(performance.now() - began).to.be.within(4900, 9000);
    expect(problem).to.equal('gives no answer within 5 s');
    const [again, shared] = await Promise.all([documents.fetch(`${url}/b`), documents.fetchShared(`${url}/c`)]);
    expect([again.problem, shared.problem]).to.deep.equal([problem, problem]);
    expect(questions).to.equal(1);
    documents.keepOnly([]);
    const asking = documents.fetch(`${url}/d`);
    await until(() => questions === 2);
    for (const server of servers) (server as HttpServer).closeAllConnections();
    expect((await asking).problem).to.match(/^gives no answer \(/);
  });

  it('keeps what it learned of replicas that are still there, and of no others', async () => {
    const url = await serve(keySet);
    const first = await documents.fetchShared(`${url}/a`);
    documents.keepOnly(['http://127.0.0.1:9', url]);
    expect(await documents.fetchShared(`${url}/a`)).to.equal(first);
    documents.keepOnly([]);
    expect(await documents.fetchShared(`${url}/a`)).to.not.equal(first);
    expect(asked).to.deep.equal([undefined, '"1"', undefined]);
  });

  it('asks a replica by its address whatever name its certificate has, and a named one only if that is right', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'certificate-'));
    const [certificate, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=keys.example.org', '-days', '2'];
    execFileSync('openssl', [...request, '-out', certificate, '-keyout', key], { stdio: 'ignore' });
    const options = { cert: readFileSync(certificate), key: readFileSync(key) };
    await rm(folder, { recursive: true });
    const port = await listening(createSecureServer(options, keySet));
    expect(keyIDs(await documents.fetch(`https://127.0.0.1:${port}`))).to.deep.equal(['a', 'b']);
    const named = await documents.fetch(`https://localhost:${port}`);
    expect(named.problem).to.match(/^gives no answer \((DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN)\)$/);
  });

  describe('with a file of private authorities', () => {
    let folder: string;
    let file: string;

    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'authority-'));
      file = join(folder, 'ca.crt');
      await documents.close();
      documents = new ServedDocuments(systemClock, file);
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

    it('asks whom one of them vouches for, also after the file was renewed, and no other', async () => {
      const first = await vouchedFor('first');
      const second = await vouchedFor('second');
      await writeFile(file, first.authority);
      expect(keyIDs(await documents.fetch(first.url))).to.deep.equal(['a', 'b']);
      expect((await documents.fetch(second.url)).problem).to.match(/^gives no answer \(/);
      await writeFile(file, first.authority + second.authority);
      documents.keepOnly([]);
      for (const { url } of [first, second]) expect(keyIDs(await documents.fetch(url))).to.deep.equal(['a', 'b']);
      await writeFile(file, second.authority);
      expect((await documents.fetch(first.url)).problem).to.match(/^gives no answer \(/);
    });

    for (const [what, content, problem] of [
      ['is not there', undefined, 'gives no answer (ENOENT)'],
      ['is no PEM file', 'no certificate', 'gives no answer ('],
    ] as const) {
      it(`gives no answer where it ${what}, and asks on when it is right again`, async () => {
        const { url, authority } = await vouchedFor('right');
        if (content !== undefined) await writeFile(file, content);
        expect((await documents.fetch(url)).problem).to.include(problem);
        await writeFile(file, authority);
        documents.keepOnly([]);
        expect(keyIDs(await documents.fetch(url))).to.deep.equal(['a', 'b']);
      });
    }
  });
});
