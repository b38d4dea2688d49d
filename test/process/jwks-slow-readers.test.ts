import { execFileSync } from 'node:child_process';
import { request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { expect } from 'chai';
import { jwksMemoryMiB } from '../../dev/jwks-container.ts';
import { namespacePath, registrationPath } from '../../src/api/names.ts';
import { eventually, pause } from '../fixtures/command.ts';
import { buildIfStale } from '../fixtures/installed.ts';
import { JwksProcess, keySet } from '../fixtures/jwks-process.ts';

const path = registrationPath('gradebook', 'canvas');
const aggregate = namespacePath('gradebook');

describe('The jwks container with clients that do not read their answers', function () {
  this.timeout(180_000);
  const limitMiB = jwksMemoryMiB();
  let jwks: JwksProcess;
  let clients: Socket[];

  before(buildIfStale);
  beforeEach(async () => {
    jwks = await JwksProcess.create();
    clients = [];
  });
  afterEach(async () => {
    for (const client of clients) client.destroy();
    await jwks.remove();
  });

  const want = (target: string, times = 1): string => `GET ${target} HTTP/1.1\r\nHost: h\r\n\r\n`.repeat(times);

  /** Connections that send `bytes` and read nothing, opened 50 at a time. */
  async function unreading(count: number, tls: boolean, bytes: string): Promise<void> {
    const open = (): Promise<void> =>
      new Promise((resolve) => {
        const place = { port: jwks.port, host: '127.0.0.1' };
        const client = tls ? connectTls({ ...place, rejectUnauthorized: false }) : connect(place);
        clients.push(client);
        client.once(tls ? 'secureConnect' : 'connect', () => client.write(bytes, () => resolve()));
        client.on('error', () => resolve());
        client.on('close', () => resolve());
      });
    for (let opened = 0; opened < count; opened += 50)
      await Promise.all(Array.from({ length: Math.min(50, count - opened) }, open));
  }

  /** The bytes of one honest answer over a new connection. Rejects after 30 s without one. */
  function ask(tls: boolean, target: string): Promise<number> {
    const place = { port: jwks.port, host: '127.0.0.1', path: target, agent: false as const, timeout: 30_000 };
    return new Promise((resolve, reject) => {
      const asking = tls ? secureRequest({ ...place, rejectUnauthorized: false }) : request(place);
      asking.on('response', (response) => {
        let length = 0;
        response.on('data', (chunk: Buffer) => (length += chunk.length));
        response.on('end', () => (response.statusCode === 200 ? resolve(length) : reject(new Error('not 200'))));
        response.on('error', reject);
      });
      asking.on('timeout', () => asking.destroy(new Error('no answer within 30 s')));
      asking.on('error', reject).end();
    });
  }

  async function start(tls: boolean): Promise<void> {
    if (!tls) return jwks.start();
    const [certificate, key] = [join(jwks.folder, 'tls.crt'), join(jwks.folder, 'tls.key')];
    const subject = ['-subj', '/CN=keys.example.org', '-days', '2', '-out', certificate, '-keyout', key];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...subject],
      { stdio: 'ignore' },
    );
    return jwks.start(`--tls-cert=${certificate}`, `--tls-key=${key}`);
  }

  const chunked = `POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\na\r\n'.repeat(10_000)}`;
  const lines = Array.from({ length: 190 }, (_, line) => `${line}:\r\n`).join('');
  const manyLines = `GET / HTTP/1.1\r\nHost: h\r\n${lines}\r\n`;

  // Every case asks for more than the container's memory. The kernel buffers megabytes for each connection, and that is what the time goes into.
  for (const [what, tls, count, keys, bytes] of [
    ['150 connections over TLS with 16 GETs of a document of 248 KB each', true, 150, 600, want(aggregate, 16)],
    ['1,000 connections with 16 GETs of a document of 16 KB each', false, 1000, 38, want(aggregate, 16)],
    ['100 connections with 2,000 GETs of a document of 16 KB each', false, 100, 38, want(aggregate, 2000)],
    ['100 connections over TLS with 2,000 GETs of a document of 16 KB each', true, 100, 38, want(aggregate, 2000)],
    ['400 connections with 5,000 requests without Host each', false, 400, 38, 'GET / HTTP/1.1\r\n\r\n'.repeat(5000)],
    ['100 connections with one GET of a document of 6 MB each', false, 100, 15_000, want(aggregate)],
    ['200 connections with a body in tiny chunks behind that GET', false, 200, 15_000, want(aggregate) + chunked],
    [
      '400 connections with 15 × 190 header lines behind it',
      false,
      400,
      15_000,
      want(aggregate) + manyLines.repeat(15),
    ],
  ] as const) {
    it(`The sidecar stays below its memory limit and answers other clients, with whole aggregates, during ${what}`, async () => {
      jwks.publish('namespace_gradebook.json', keySet(keys));
      jwks.publish('registration_gradebook_canvas.json', keySet(2));
      await start(tls);
      const [whole, small] = [await ask(tls, aggregate), await ask(tls, path)];
      const before = jwks.residentMiB();
      await unreading(count, tls, bytes);
      for (let asked = 0; asked < 10; asked += 1) {
        expect([await ask(tls, path), await ask(tls, aggregate)]).to.deep.equal([small, whole]);
        await pause(20);
      }
      const peak = jwks.peakMiB();
      console.log(`      ${before.toFixed(0)} MiB before, ${peak.toFixed(0)} of ${limitMiB} at most`);
      expect(peak).to.be.lessThan(limitMiB);
    });
  }

  it('The sidecar stays below its memory limit while a document of 4 MB that no client reads is replaced 50 times', async () => {
    // The sidecar rests between two versions of an aggregate, but not between those of a registration's document.
    const file = 'registration_gradebook_canvas.json';
    const sets = [keySet(10_000), keySet(10_000)];
    const etag = async (): Promise<string | null> => {
      const { headers } = await fetch(`http://127.0.0.1:${jwks.port}${path}`, { method: 'HEAD' });
      return headers.get('etag');
    };
    jwks.publish(file, sets[0]!);
    await start(false);
    // All versions together take 200 MB, so a sidecar that keeps them exceeds the limit.
    for (let version = 1; version <= 50; version += 1) {
      await unreading(10, false, want(path));
      const before = await etag();
      jwks.publish(file, sets[version % 2]!);
      await eventually('the next version is served', async () => (await etag()) !== before);
    }
    const peak = jwks.peakMiB();
    console.log(`      ${peak.toFixed(0)} of ${limitMiB} MiB at most`);
    expect(peak).to.be.lessThan(limitMiB);
  });
});
