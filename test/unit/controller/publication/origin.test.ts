import { type AddressInfo, createServer, type Server } from 'node:net';
import { createServer as createHttpServer } from 'node:http';
import { expect } from 'chai';
import { ServedDocuments } from '../../../../src/controller/publication/documents.ts';
import { Origin } from '../../../../src/controller/publication/origin.ts';
import { noAnswer, type ServedDocument } from '../../../../src/controller/publication/served-document.ts';
import { ServedKeys } from '../../../../src/controller/publication/served-keys.ts';
import { second } from '../../../../src/domain/duration.ts';
import { FakeClock, settle } from '../../../fakes/fake-clock.ts';

const answer: ServedDocument = { keys: new ServedKeys(), cacheLifetime: 0 };

describe('An origin that is asked', () => {
  let clock: FakeClock;
  let origin: Origin;
  let questions: number;
  let answers: () => Promise<ServedDocument>;
  const refused = (): Promise<ServedDocument> => Promise.reject(Object.assign(new Error(), { code: 'ECONNREFUSED' }));
  const ask = (): Promise<ServedDocument> =>
    origin.ask(() => {
      questions += 1;
      return answers();
    });

  /** How long that took. */
  async function untilAsked(): Promise<number> {
    const before = questions;
    for (let waited = 50; ; waited += 50) {
      await clock.advance(50);
      await ask();
      if (questions > before) return waited;
    }
  }

  let documents: ServedDocuments;
  let server: Server | undefined;

  beforeEach(() => {
    clock = new FakeClock();
    documents = new ServedDocuments(clock);
    server = undefined;
    origin = new Origin(clock);
    questions = 0;
    answers = refused;
  });
  afterEach(async () => {
    server?.close();
    await documents.close();
  });

  it('rests 250 ms after it refused a connection, and twice as long each time, up to 5 s', async () => {
    await ask();
    const rests: number[] = [];
    for (let rest = 1; rest <= 7; rest++) rests.push(await untilAsked());
    expect(rests).to.deep.equal([250, 500, 1000, 2000, 4000, 5000, 5000]);
  });

  it('gets one question per rest when thousands want to know, who all get the problem', async () => {
    await ask();
    for (let elapsed = 0; elapsed < 60 * second; elapsed += 100) {
      await clock.advance(100);
      const heard = await Promise.all(Array.from({ length: 100 }, ask));
      expect(new Set(heard.map(({ problem }) => problem))).to.deep.equal(new Set(['gives no answer (ECONNREFUSED)']));
    }
    expect(questions).to.be.within(15, 17);
  });

  it('is asked by everybody again after one answer, and a later failure begins with a short rest', async () => {
    for (let failure = 0; failure < 6; failure++) {
      await ask();
      await clock.advance(5 * second);
    }
    answers = () => Promise.resolve(answer);
    expect(await ask()).to.equal(answer);
    questions = 0;
    await Promise.all([ask(), ask(), ask()]);
    expect(questions).to.equal(3);
    answers = refused;
    await ask();
    await clock.advance(250);
    answers = () => Promise.resolve(answer);
    expect(await ask()).to.equal(answer);
  });

  it('has one failure when questions that were under way together fail together', async () => {
    await Promise.all(Array.from({ length: 20 }, ask));
    expect(questions).to.equal(20);
    await clock.advance(250);
    answers = () => Promise.resolve(answer);
    expect(await ask()).to.equal(answer);
  });

  it('gets 20 questions at a time, and the others when these are answered', async () => {
    const { promise, resolve } = Promise.withResolvers<ServedDocument>();
    answers = () => promise;
    const asking = Promise.all(Array.from({ length: 50 }, ask));
    await settle();
    expect(questions).to.equal(20);
    resolve(answer);
    expect(await asking).to.deep.equal(Array.from({ length: 50 }, () => answer));
    expect(questions).to.equal(50);
  });

  it('gets none of the waiting questions when it fails meanwhile, and all who wait are told', async () => {
    const { promise, reject } = Promise.withResolvers<ServedDocument>();
    answers = () => promise;
    const asking = Promise.all(Array.from({ length: 50 }, ask));
    await settle();
    reject(new DOMException('', 'TimeoutError'));
    expect(new Set((await asking).map(({ problem }) => problem))).to.deep.equal(
      new Set(['gives no answer within 5 s']),
    );
    expect(questions).to.equal(20);
  });

  it('does not rest for the refusal of some documents, and does when it refuses all', async () => {
    const unavailable = (): Promise<ServedDocument> => Promise.resolve(noAnswer('answers 503'));
    for (let round = 0; round < 10; round++) {
      answers = unavailable;
      for (let document = 0; document < 19; document++) await ask();
      answers = () => Promise.resolve(answer);
      expect(await ask()).to.equal(answer);
    }
    questions = 0;
    answers = unavailable;
    for (let document = 0; document < 100; document++) expect(await ask()).to.deep.equal(noAnswer('answers 503'));
    expect(questions).to.equal(20);
  });

  it('that is a real port which refuses connections is asked a bounded number of times by many registrations', async () => {
    let connections = 0;
    server = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    const base = await listening(server);
    const round = (): Promise<readonly ServedDocument[]> =>
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

  it('that is a real port where nobody listened yet is heard soon after somebody does', async () => {
    const free = createServer();
    const base = await listening(free);
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    expect((await documents.fetch(base)).problem).to.equal('gives no answer (ECONNREFUSED)');
    const sidecar = createHttpServer((_request, response) => response.end('{"keys":[]}'));
    server = sidecar;
    await new Promise<void>((resolve) => sidecar.listen(port, '127.0.0.1', resolve));
    expect((await documents.fetch(base)).problem).to.equal('gives no answer (ECONNREFUSED)');
    await clock.advance(250);
    expect((await documents.fetch(base)).problem).to.equal(undefined);
  });
});

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
