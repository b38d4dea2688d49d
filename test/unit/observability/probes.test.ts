import { connect } from 'node:net';

import { expect } from 'chai';

import { parseAddress, startProbes, type ProbeServer } from '../../../src/observability/probes.ts';
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

  it('is healthy while it answers', async () => {
    expect(await ask('/healthz')).to.deep.equal({ status: 200, body: 'ok\n', type: text });
  });

  it('names what is not ready, and is ready when all of it is', async () => {
    Object.assign(state, { synced: false, connected: false });
    const body = 'not ready: registrations are synced\nnot ready: watch is connected\n';
    expect(await ask('/readyz')).to.deep.equal({ status: 503, body, type: text });
    state.connected = true;
    expect((await ask('/readyz')).body).to.equal('not ready: registrations are synced\n');
    state.synced = true;
    expect(await ask('/readyz')).to.deep.equal({ status: 200, body: 'ok\n', type: text });
  });

  it('serves the metrics in the type of the registry', async () => {
    expect(await ask('/metrics?x=1')).to.deep.equal({ status: 200, body: 'up 1\n', type: 'text/plain; version=0.0.4' });
  });

  it('answers 500 when the metrics cannot be computed, and says why in the log', async () => {
    state.broken = true;
    const { status, body } = await ask('/metrics');
    state.broken = false;
    expect({ status, body }).to.deep.equal({ status: 500, body: 'the metrics cannot be computed; the log says why\n' });
    expect(lines.map(({ message }) => message)).to.deep.equal(['cannot compute the metrics']);
  });

  it('answers a HEAD without a body', async () => {
    expect(await ask('/healthz', 'HEAD')).to.deep.equal({ status: 200, body: '', type: text });
  });

  for (const path of ['/', '/healthz/', '/metrics/<script>', '//x', '/%2e%2e/etc/passwd']) {
    it(`answers the same 404 to ${path}`, async () => {
      expect(await ask(path)).to.deep.equal({ status: 404, body: 'not found\n', type: text });
    });
  }

  it('takes no other method', async () => {
    const response = await fetch(`http://127.0.0.1:${server.port}/metrics`, { method: 'POST', body: 'x' });
    expect(response.status).to.equal(405);
    expect(response.headers.get('allow')).to.equal('GET, HEAD');
  });

  it('survives a request that is none', async () => {
    const socket = connect(server.port, '127.0.0.1');
    const answer = await new Promise<string>((resolve) => {
      socket.once('data', (data) => resolve(data.toString()));
      socket.write('nonsense\r\n\r\n');
    });
    expect(answer).to.match(/^HTTP\/1\.1 400 /u);
    expect((await ask('/healthz')).status).to.equal(200);
  });

  it('says where it cannot listen', async () => {
    const address = `127.0.0.1:${server.port}`;
    const metrics = { contentType: text, metrics: async (): Promise<string> => '' };
    const failure: unknown = await startProbes({ address, ready: {}, metrics, log }).catch((error: unknown) => error);
    expect(String(failure)).to.equal(`Error: cannot serve probes and metrics on ${address}: EADDRINUSE`);
  });
});

describe('parseAddress', () => {
  for (const [address, expected] of [
    [':8081', { port: 8081 }],
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65535 }],
    ['[::1]:80', { host: '::1', port: 80 }],
  ] as const) {
    it(`reads ${address}`, () => expect(parseAddress(address)).to.deep.equal(expected));
  }

  for (const address of ['', '8081', ':', 'host:', ':65536', ':-1', '::1:80', 'http://host:80', 'a b:80', '[]:80']) {
    it(`refuses ${JSON.stringify(address)}`, () =>
      expect(() => parseAddress(address)).to.throw(
        `"${address}" is not an address to listen on: write host:port or :port, for example :8081`,
      ));
  }
});
