import { expect } from 'chai';
import { Agent, get } from 'node:http';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { answerDeadlineMs, ClientConnections, sliceBytes } from '../../../src/jwks/client-connections.ts';
import { createPublicServer } from '../../../src/jwks/server.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

const mebibyte = 1024 * 1024;
/** More than the kernel takes for a client that does not read. */
const large = Buffer.alloc(16 * mebibyte);

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const deadline = performance.now() + 10_000; performance.now() < deadline; await setImmediate()) {
    if (holds()) return;
  }
  expect.fail(`never came true: ${what}`);
}

describe('The public server', () => {
  let server: Server;
  let clock: FakeClock;
  let connections: ClientConnections;
  let bodies: Record<string, string | Buffer>;
  let clients: Socket[];
  let agents: Agent[];

  function listen(limits: { connections: number; unfinishedBytes: number }, done: () => void): void {
    clock = new FakeClock();
    connections = new ClientConnections(clock, limits);
    server = createPublicServer(
      ({ url = '' }, response) => {
        const body = bodies[url] ?? 'here';
        connections.send(response.writeHead(200, { 'Content-Length': body.length }), body);
      },
      { keepAlive: 3660, connections, metrics: { request: () => undefined } },
    );
    server.listen(0, '127.0.0.1', done);
  }

  beforeEach((done) => {
    bodies = { '/large': large };
    clients = [];
    agents = [];
    listen({ connections: 8, unfinishedBytes: 18 * mebibyte }, done);
  });

  afterEach((done) => {
    for (const client of clients) client.destroy();
    for (const agent of agents) agent.destroy();
    server.close(done);
    server.closeAllConnections();
  });

  const port = (): number => (server.address() as AddressInfo).port;

  /** Sends `bytes` and reads nothing. */
  async function unreading(bytes: string): Promise<Socket> {
    const client = connect(port(), '127.0.0.1');
    client.on('error', () => undefined);
    clients.push(client);
    await new Promise((resolve) => client.write(bytes, resolve));
    return client;
  }

  function ask(path = '/', agent = newAgent()): Promise<number> {
    return new Promise((resolve, reject) => {
      get({ port: port(), host: '127.0.0.1', path, agent }, (response) => {
        let length = 0;
        response.on('data', (chunk: Buffer) => (length += chunk.length)).on('end', () => resolve(length));
      }).on('error', reject);
    });
  }

  function newAgent(): Agent {
    const agent = new Agent({ keepAlive: true });
    agents.push(agent);
    return agent;
  }

  const want = (path: string, times = 1): string => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`.repeat(times);

  it('The public server limits how long a client may hold a connection, and keeps idle connections longer than load balancers do', () => {
    expect(server).to.include({
      headersTimeout: 5000,
      requestTimeout: 10_000,
      keepAliveTimeout: 3_660_000,
      timeout: 30_000,
    });
  });

  it('The public server writes a large body in slices, so that little of it is buffered for a client that does not read', async () => {
    let answering: Socket | undefined;
    server.on('connection', (socket) => (answering = socket));
    await unreading(want('/large'));
    await until(() => connections.unfinishedBytes > 0, 'the answer is under way');
    for (let turn = 0; turn < 100; turn += 1) await setImmediate();
    expect(answering?.writableLength).to.be.within(1, 3 * sliceBytes);
    expect(await ask('/large')).to.equal(large.length);
  });

  it('The public server counts a body that several clients read once, and nothing after they have read it or disconnected', async () => {
    for (let client = 0; client < 4; client += 1) await unreading(want('/large'));
    await until(() => connections.unfinishedBytes > large.length + 4 * sliceBytes, 'four answers are under way');
    expect(connections.unfinishedBytes).to.be.lessThan(large.length + mebibyte);
    clients[0]?.resume();
    for (const client of clients.slice(1)) client.destroy();
    await until(() => connections.unfinishedBytes === 0, 'nothing is under way');
  });

  it('The public server closes the connection without progress for the longest time when unfinished answers take too much memory, and serves the others', async () => {
    bodies['/other'] = Buffer.alloc(16 * mebibyte);
    const first = await unreading(want('/large'));
    await until(() => connections.unfinishedBytes > 0, 'the answer is under way');
    expect(await ask('/other')).to.equal(large.length);
    await until(() => server.listening && connections.unfinishedBytes === 0, 'the first one is cut');
    first.resume();
    await until(() => first.destroyed, 'it notices');
  });

  it('The public server closes a connection with more than 16 unanswered requests, and does not parse what else it sent', async () => {
    let requests = 0;
    server.on('request', () => (requests += 1));
    const greedy = await unreading(want('/', 1000));
    greedy.resume();
    await until(() => greedy.destroyed, 'it is cut');
    expect(requests).to.equal(16);
    expect(connections.unfinishedBytes).to.equal(0);
    expect(await ask()).to.equal(4);
  });

  it('The public server closes the connection after it refused what is not HTTP, even if the client keeps its side open', async () => {
    const client = connect({ port: port(), host: '127.0.0.1', allowHalfOpen: true });
    client.on('error', () => undefined);
    clients.push(client);
    let answer = '';
    client.on('data', (chunk) => (answer += chunk.toString('latin1')));
    client.write('G\0T / HTTP/1.1\r\n\r\n');
    await until(() => answer.startsWith('HTTP/1.1 400 '), 'it is refused');
    const open = (): Promise<number> =>
      new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
    for (const deadline = performance.now() + 5000; performance.now() < deadline && (await open()) > 0;)
      await setImmediate();
    expect(await open()).to.equal(0);
  });

  it('The public server answers up to 16 pipelined requests at a time, in their order', async () => {
    for (let number = 1; number <= 16; number += 1) bodies[`/${number}`] = `<${number}>`;
    const paths = Object.keys(bodies).filter((path) => path !== '/large');
    const client = await unreading('');
    let answers = '';
    client.on('data', (chunk) => (answers += chunk.toString('latin1')));
    for (let round = 1; round <= 20; round += 1) {
      client.write(paths.map((path) => want(path)).join(''));
      await until(() => answers.match(/<\d+>/g)?.length === round * 16, 'all answers');
    }
    const one = paths.map((path) => bodies[path]);
    expect(answers.match(/<\d+>/g)).to.deep.equal(Array.from({ length: 20 }, () => one).flat());
  });

  it('The public server closes connections that do not take an answer within a minute, but not idle ones', async () => {
    const idle = newAgent();
    expect(await ask('/', idle)).to.equal(4);
    const slow = await unreading(want('/large'));
    await until(() => connections.unfinishedBytes > 0, 'the answer is under way');
    await clock.advance(answerDeadlineMs - 1);
    connections.sweep();
    expect(connections.unfinishedBytes).to.be.greaterThan(0);
    await clock.advance(1);
    connections.sweep();
    expect(connections.unfinishedBytes).to.equal(0);
    slow.resume();
    await until(() => slow.destroyed, 'it notices');
    expect(Object.values(idle.freeSockets).flat()).to.have.length(1);
    expect(await ask('/', idle)).to.equal(4);
  });

  for (const [what, bytes] of [
    ['are silent', ''],
    ['send headers slowly', 'GET / HTTP/1.1\r\nHost: h\r\nX: '],
    ['are idle', want('/')],
    ['do not read', want('/large')],
  ] as const) {
    it(`The public server answers new clients when all connections ${what}: the oldest of them is closed`, async () => {
      for (let client = 0; client < 8; client += 1) await unreading(bytes);
      for (let turn = 0; turn < 100; turn += 1) await setImmediate();
      for (let newcomer = 0; newcomer < 20; newcomer += 1) expect(await ask()).to.equal(4);
      clients[0]?.resume();
      await until(() => clients[0]?.destroyed === true, 'the first one is cut');
    });
  }
});
