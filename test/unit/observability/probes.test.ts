import { connect, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';

import { expect } from 'chai';

import { startProbes, type ProbeServer } from '../../../src/observability/probes.ts';
import { longestQueue, scrapeMs, stallMs } from '../../../src/observability/scrapes.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { recordingLog } from '../../fakes/recording-log.ts';

const text = 'text/plain; charset=utf-8';

describe('startProbes', () => {
  const state = { synced: false, connected: true, broken: false };
  const { log, lines } = recordingLog();
  let server: ProbeServer;

  before(async () => {
    server = await startProbes({
      address: '127.0.0.1:0',
      ready: { 'registrations are synced': () => state.synced, 'watch is connected': () => state.connected },
      metrics: {
        contentType: 'text/plain; version=0.0.4',
        async metrics() {
          if (state.broken) throw new Error('source failed');
          return 'up 1\n';
        },
      },
      log,
    });
  });

  after(() => server.close());

  async function ask(path: string, method = 'GET'): Promise<{ status: number; body: string; type: string | null }> {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return { status: response.status, body: await response.text(), type: response.headers.get('content-type') };
  }

  it('startProbes answers 200 on /healthz', async () => {
    expect(await ask('/healthz')).to.deep.equal({ status: 200, body: 'ok\n', type: text });
  });

  it('startProbes answers 503 on /readyz with the conditions that are not met, and 200 when all are', async () => {
    Object.assign(state, { synced: false, connected: false });
    const body = 'not ready: registrations are synced\nnot ready: watch is connected\n';
    expect(await ask('/readyz')).to.deep.equal({ status: 503, body, type: text });
    state.connected = true;
    expect((await ask('/readyz')).body).to.equal('not ready: registrations are synced\n');
    state.synced = true;
    expect(await ask('/readyz')).to.deep.equal({ status: 200, body: 'ok\n', type: text });
  });

  it('startProbes serves /metrics with the content type of the registry', async () => {
    expect(await ask('/metrics?x=1')).to.deep.equal({ status: 200, body: 'up 1\n', type: 'text/plain; version=0.0.4' });
  });

  it('startProbes answers 500 if the metrics cannot be computed, and logs the error', async () => {
    state.broken = true;
    const { status, body } = await ask('/metrics');
    state.broken = false;
    expect({ status, body }).to.deep.equal({ status: 500, body: 'the metrics cannot be computed; see the log\n' });
    expect(lines.map(({ message }) => message)).to.deep.equal(['cannot compute the metrics']);
  });

  it('startProbes answers HEAD without a body', async () => {
    expect(await ask('/healthz', 'HEAD')).to.deep.equal({ status: 200, body: '', type: text });
  });

  for (const path of ['/', '/healthz/', '/metrics/<script>', '//x', '/%2e%2e/etc/passwd']) {
    it(`startProbes answers 404 to ${path}`, async () => {
      expect(await ask(path)).to.deep.equal({ status: 404, body: 'not found\n', type: text });
    });
  }

  it('startProbes refuses other methods with 405', async () => {
    const response = await fetch(`http://127.0.0.1:${server.port}/metrics`, { method: 'POST', body: 'x' });
    expect(response.status).to.equal(405);
    expect(response.headers.get('allow')).to.equal('GET, HEAD');
  });

  it('startProbes answers 400 to a malformed request and continues to serve', async () => {
    const socket = connect(server.port, '127.0.0.1');
    const answer = await new Promise<string>((resolve) => {
      socket.once('data', (data) => resolve(data.toString()));
      socket.write('nonsense\r\n\r\n');
    });
    expect(answer).to.match(/^HTTP\/1\.1 400 /u);
    expect((await ask('/healthz')).status).to.equal(200);
  });

  it('startProbes rejects with the address on which it cannot listen', async () => {
    const address = `127.0.0.1:${server.port}`;
    const metrics = { contentType: text, metrics: async (): Promise<string> => '' };
    const failure: unknown = await startProbes({ address, ready: {}, metrics, log }).catch((error: unknown) => error);
    expect(String(failure)).to.equal(`Error: cannot serve probes and metrics on ${address}: EADDRINUSE`);
  });
});

describe('Scrapes', () => {
  const { log, lines } = recordingLog();
  let server: ProbeServer;
  let clock: FakeClock;
  /** Pieces requested by all scrapes. */
  let made: number;
  let over: boolean;
  let pieces: () => Iterable<string>;
  const sockets = new Set<Socket>();

  const line = `series{of="${'x'.repeat(1000)}"} 1\n`;
  /** More than the kernel buffers for a client that does not read. */
  function* endless(): Generator<string> {
    for (; made < 1e6; made += 1) yield line;
  }

  beforeEach(async () => {
    clock = new FakeClock();
    made = 0;
    over = false;
    pieces = () => [];
    const metrics = { contentType: 'text/plain; version=0.0.4', metrics: async (): Promise<string> => 'up 1\n' };
    server = await startProbes({ address: '127.0.0.1:0', ready: {}, metrics, streamed: () => pieces(), log, clock });
  });

  afterEach(async () => {
    over = true;
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    await server.close();
  });

  /** Requests the metrics and reads nothing of the response. */
  function slowScrape(): void {
    const socket = connect(server.port, '127.0.0.1', () => socket.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'));
    sockets.add(socket);
    socket.on('error', () => undefined).pause();
  }

  async function scrape(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
  }

  /** Waits until nothing more is rendered because the client's buffers are full. */
  async function untilStalled(): Promise<number> {
    for (let before = -1; ; before = made) {
      for (let turn = 0; turn < 50; turn += 1) await setImmediate();
      if (over || (made > 0 && before === made)) return made;
    }
  }

  it('Scrapes append streamed metrics to those of the registry', async () => {
    pieces = () => ['a 1\n', 'b 2\n'];
    expect(await scrape()).to.equal('up 1\na 1\nb 2\n');
    for (let turn = 0; turn < 1000 && clock.pendingTimers > 0; turn += 1) await setImmediate();
    expect(clock.pendingTimers, 'deadlines of what was taken').to.equal(0);
  });

  it('Scrapes render no more than the client reads, and disconnect one that reads nothing for two seconds', async () => {
    pieces = endless;
    slowScrape();
    const stalled = await untilStalled();
    expect(stalled).to.be.lessThan(1e6);
    await clock.advance(stallMs - 1);
    expect(await untilStalled(), 'and no more').to.equal(stalled);
    pieces = () => ['next 1\n'];
    const waiting = scrape();
    await clock.advance(1);
    expect(await waiting, 'the one that waited has its turn').to.equal('up 1\nnext 1\n');
    expect(made).to.equal(stalled);
  });

  it('Scrapes disconnect a client that is still reading after ten seconds', async () => {
    pieces = function* () {
      for (;;) yield line;
    };
    const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
    const read = response.text().then(
      () => 'ended',
      () => 'cut off',
    );
    await clock.advance(scrapeMs);
    expect(await read).to.equal('cut off');
  });

  it('Scrapes are rendered one at a time', async () => {
    let rendering = 0;
    let most = 0;
    pieces = function* () {
      most = Math.max(most, (rendering += 1));
      for (let count = 0; count < 200; count += 1) yield line;
      rendering -= 1;
    };
    const answers = await Promise.all(Array.from({ length: 10 }, scrape));
    expect(new Set(answers.map(({ length }) => length))).to.deep.equal(new Set([5 + 200 * line.length]));
    expect(most).to.equal(1);
  });

  it('Scrapes leave the probes responsive while one is rendered', async () => {
    pieces = function* () {
      for (;;) yield line;
    };
    const abort = new AbortController();
    const response = await fetch(`http://127.0.0.1:${server.port}/metrics`, { signal: abort.signal });
    const reading = response.text().catch(() => 'aborted');
    expect((await fetch(`http://127.0.0.1:${server.port}/healthz`)).status).to.equal(200);
    abort.abort();
    expect(await reading).to.equal('aborted');
    pieces = () => [];
    expect(await scrape(), 'who left lets go of the turn').to.equal('up 1\n');
  });

  it('Scrapes are refused with 503 if sixteen are waiting', async () => {
    pieces = endless;
    for (let count = 0; count < longestQueue; count += 1) slowScrape();
    await untilStalled();
    let status = 0;
    // The last request may still be in flight.
    while (status !== 503) {
      const abort = new AbortController();
      const asked = fetch(`http://127.0.0.1:${server.port}/metrics`, { signal: abort.signal });
      status = await Promise.race([asked.then((answer) => answer.status), untilStalled().then(() => 0)]);
      if (status === 0) abort.abort();
      await asked.catch(() => undefined);
    }
    expect((await fetch(`http://127.0.0.1:${server.port}/healthz`)).status).to.equal(200);
  });

  it('Scrapes end with a broken response if a source fails midway, and log the error', async () => {
    pieces = function* () {
      for (let count = 0; count < 100; count += 1) yield line;
      throw new Error('source failed');
    };
    expect(await scrape().catch(() => 'cut off')).to.equal('cut off');
    expect(lines.map(({ message }) => message)).to.deep.equal(['cannot compute the metrics']);
  });
});
