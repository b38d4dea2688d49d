import { type AddressInfo, createServer, type Server } from 'node:net';
import { createServer as createHttpServer } from 'node:http';
import { expect } from 'chai';
import { DocumentFetcher } from '../../../../src/controller/publication/document-fetcher.ts';
import { CircuitBreaker } from '../../../../src/controller/publication/circuit-breaker.ts';
import { type FetchedDocument, unknownDocument } from '../../../../src/controller/publication/fetched-document.ts';
import { ServedKeySet } from '../../../../src/controller/publication/served-key-set.ts';
import { second } from '../../../../src/domain/duration.ts';
import { FakeClock, settle } from '../../../fakes/fake-clock.ts';

const answer: FetchedDocument = { keys: new ServedKeySet(), cacheLifetime: 0 };

describe('CircuitBreaker', () => {
  let clock: FakeClock;
  let breaker: CircuitBreaker;
  let requests: number;
  let answers: () => Promise<FetchedDocument>;
  const refused = (): Promise<FetchedDocument> => Promise.reject(Object.assign(new Error(), { code: 'ECONNREFUSED' }));
  const ask = (): Promise<FetchedDocument> =>
    breaker.run(() => {
      requests += 1;
      return answers();
    });

  /** How long that took. */
  async function untilAsked(): Promise<number> {
    const before = requests;
    for (let waited = 50; ; waited += 50) {
      await clock.advance(50);
      await ask();
      if (requests > before) return waited;
    }
  }

  let documents: DocumentFetcher;
  let server: Server | undefined;

  beforeEach(() => {
    clock = new FakeClock();
    documents = new DocumentFetcher(clock);
    server = undefined;
    breaker = new CircuitBreaker(clock);
    requests = 0;
    answers = refused;
  });
  afterEach(async () => {
    server?.close();
    await documents.close();
  });

  it('CircuitBreaker pauses requests for 250 ms after a refused connection, and twice as long each time, up to 5 s', async () => {
    await ask();
    const rests: number[] = [];
    for (let rest = 1; rest <= 7; rest++) rests.push(await untilAsked());
    expect(rests).to.deep.equal([250, 500, 1000, 2000, 4000, 5000, 5000]);
  });

  it('CircuitBreaker sends one request per pause for thousands of callers, which all get the problem', async () => {
    await ask();
    for (let elapsed = 0; elapsed < 60 * second; elapsed += 100) {
      await clock.advance(100);
      const heard = await Promise.all(Array.from({ length: 100 }, ask));
      expect(new Set(heard.map(({ problem }) => problem))).to.deep.equal(new Set(['does not respond (ECONNREFUSED)']));
    }
    expect(requests).to.be.within(15, 17);
  });

  it('CircuitBreaker lets all requests through after one response, and begins with a short pause at the next failure', async () => {
    for (let failure = 0; failure < 6; failure++) {
      await ask();
      await clock.advance(5 * second);
    }
    answers = () => Promise.resolve(answer);
    expect(await ask()).to.equal(answer);
    requests = 0;
    await Promise.all([ask(), ask(), ask()]);
    expect(requests).to.equal(3);
    answers = refused;
    await ask();
    await clock.advance(250);
    answers = () => Promise.resolve(answer);
    expect(await ask()).to.equal(answer);
  });

  it('CircuitBreaker counts concurrent requests that fail together as one failure', async () => {
    await Promise.all(Array.from({ length: 20 }, ask));
    expect(requests).to.equal(20);
    await clock.advance(250);
    answers = () => Promise.resolve(answer);
    expect(await ask()).to.equal(answer);
  });

  it('CircuitBreaker sends at most 20 requests at a time, and the others after these', async () => {
    const { promise, resolve } = Promise.withResolvers<FetchedDocument>();
    answers = () => promise;
    const asking = Promise.all(Array.from({ length: 50 }, ask));
    await settle();
    expect(requests).to.equal(20);
    resolve(answer);
    expect(await asking).to.deep.equal(Array.from({ length: 50 }, () => answer));
    expect(requests).to.equal(50);
  });

  it('CircuitBreaker sends none of the waiting requests if the origin fails meanwhile, and reports the problem to all callers', async () => {
    const { promise, reject } = Promise.withResolvers<FetchedDocument>();
    answers = () => promise;
    const asking = Promise.all(Array.from({ length: 50 }, ask));
    await settle();
    reject(new DOMException('', 'TimeoutError'));
    expect(new Set((await asking).map(({ problem }) => problem))).to.deep.equal(
      new Set(['does not respond within 5 s']),
    );
    expect(requests).to.equal(20);
  });

  it('CircuitBreaker pauses requests if an origin refuses all documents, and does not if it refuses some', async () => {
    const unavailable = (): Promise<FetchedDocument> => Promise.resolve(unknownDocument('responds with status 503'));
    for (let round = 0; round < 10; round++) {
      answers = unavailable;
      for (let document = 0; document < 19; document++) await ask();
      answers = () => Promise.resolve(answer);
      expect(await ask()).to.equal(answer);
    }
    requests = 0;
    answers = unavailable;
    for (let document = 0; document < 100; document++)
      expect(await ask()).to.deep.equal(unknownDocument('responds with status 503'));
    expect(requests).to.equal(20);
  });

  it('CircuitBreaker bounds the connections to a port that refuses them, for many registrations', async () => {
    let connections = 0;
    server = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    const base = await listening(server);
    const round = (): Promise<readonly FetchedDocument[]> =>
      Promise.all(Array.from({ length: 300 }, (_, index) => documents.fetch(`${base}/${index}`)));
    await round();
    expect(connections).to.be.at.most(20);
    connections = 0;
    for (let elapsed = 0; elapsed < 10; elapsed++) {
      await clock.advance(second);
      await round();
    }
    expect(connections).to.be.within(3, 6);
  });

  it('CircuitBreaker reaches a server soon after it has started to listen', async () => {
    const free = createServer();
    const base = await listening(free);
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    expect((await documents.fetch(base)).problem).to.equal('does not respond (ECONNREFUSED)');
    const sidecar = createHttpServer((_request, response) => response.end('{"keys":[]}'));
    server = sidecar;
    await new Promise<void>((resolve) => sidecar.listen(port, '127.0.0.1', resolve));
    expect((await documents.fetch(base)).problem).to.equal('does not respond (ECONNREFUSED)');
    await clock.advance(250);
    expect((await documents.fetch(base)).problem).to.equal(undefined);
  });
});

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
