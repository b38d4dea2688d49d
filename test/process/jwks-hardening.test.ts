import { execFileSync, spawnSync } from 'node:child_process';
import { request as httpRequest, Agent } from 'node:http';
import { connect } from 'node:net';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { expect } from 'chai';
import { jwksContainer } from '../../dev/jwks-container.ts';
import { eventually, pause } from '../fixtures/command.ts';
import { buildIfStale } from '../fixtures/installed.ts';
import { JwksProcess, keySet } from '../fixtures/jwks-process.ts';
import { slowClient } from '../fixtures/slow-client.ts';

const path = '/registrations/gradebook/canvas/jwks.json';
const file = 'registration_gradebook_canvas.json';

describe('The jwks container under attack', function () {
  this.timeout(180_000);
  let jwks: JwksProcess;

  before(buildIfStale);
  beforeEach(async () => {
    jwks = await JwksProcess.create();
    jwks.publish(file, keySet(2));
  });
  afterEach(() => jwks.remove());

  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  after(() => agent.destroy());

  /** One GET over a kept connection: the status and the milliseconds it took. */
  function get(
    target = path,
    port = jwks.port,
  ): Promise<{ status: number; milliseconds: number; connection: string | undefined }> {
    const began = performance.now();
    return new Promise((resolve, reject) => {
      const asking = httpRequest({ port, host: '127.0.0.1', path: target, agent }, (response) => {
        response.resume().on('end', () => {
          const { statusCode: status = 0, headers } = response;
          resolve({ status, milliseconds: performance.now() - began, connection: headers.connection });
        });
      });
      asking.on('error', reject).end();
    });
  }

  it('The sidecar answers other clients while a thousand connections are slow, and takes little memory for them', async () => {
    await jwks.start();
    await get();
    const before = jwks.residentMiB();
    const head = `GET ${path} HTTP/1.1\r\nHost: h\r\nX-Slow: `;
    // What slows down the machine slows down both sidecars.
    const undisturbed = await JwksProcess.create();
    try {
      undisturbed.publish(file, keySet(2));
      await undisturbed.start();
      const slow = Array.from({ length: 1000 }, (_, number) =>
        slowClient(jwks.port, number % 2 === 0 ? head : '', 'a'),
      );
      const longer: number[] = [];
      for (const end = performance.now() + 4000; performance.now() < end; await pause(5)) {
        const [one, other] = await Promise.all([get(), get(path, undisturbed.port)]);
        expect([one.status, other.status]).to.deep.equal([200, 200]);
        longer.push(one.milliseconds - other.milliseconds);
      }
      const grown = jwks.residentMiB() - before;
      const median = longer.toSorted((a, b) => a - b)[Math.floor(longer.length / 2)] ?? Number.NaN;
      console.log(`      ${longer.length} answers took ${median.toFixed(1)} ms longer, ${grown.toFixed(0)} MiB more`);
      expect(median).to.be.lessThan(100);
      expect(grown).to.be.lessThan(64);
      const seconds = await Promise.all(slow.map(({ closedAfter }) => closedAfter));
      expect(Math.max(...seconds)).to.be.lessThan(30);
    } finally {
      await undisturbed.remove();
    }
  });

  it('The sidecar answers 300,000 malformed requests without a 5xx, and serves the same document afterwards', async () => {
    await jwks.start();
    const served = await (await fetch(`http://127.0.0.1:${jwks.port}${path}`)).text();
    const codes = new Map<string, number>();
    let sent = 0;
    let random = 12_345;
    const below = (limit: number): number => {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((random / 2 ** 32) * limit);
    };
    const oneOf = <T>(values: readonly T[]): T => values[below(values.length)]!;
    /** Framed so that the server can read on after it. */
    const odd = (): string => {
      const method = oneOf(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND', 'OPTIONS']);
      const target = oneOf(['/', '//', '/%00', '/%zz', '/..%2f..', `${path}/`, `${path}?${'a=b&'.repeat(below(99))}`]);
      const header = oneOf([
        '',
        'X: \xff\xfe',
        'If-None-Match: "',
        `If-None-Match: ${'"",'.repeat(below(300))}`,
        'Range: bytes=9-1,-',
        'Accept-Encoding: gzip;q=,;;,*',
        'Cookie: ;;;=',
        'X-Forwarded-Host: a\tb',
        'Expect: the worst',
        'Transfer-Encoding: chunked',
      ]);
      const body = header.startsWith('Transfer') ? '0\r\n\r\n' : '';
      return `${method} ${target} HTTP/1.1\r\nHost: h\r\n${header === '' ? '' : `${header}\r\n`}\r\n${body}`;
    };
    /** The server can only hang up after it. */
    const broken = (): string =>
      oneOf([
        'G\0T / HTTP/1.1\r\n\r\n',
        'GET / HTTP/9.9\r\nHost: h\r\n\r\n',
        'GET  /\r\n\r\n',
        `GET / HTTP/1.1\r\nHost: h\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`,
        `GET /${'a'.repeat(17_000)} HTTP/1.1\r\nHost: h\r\n\r\n`,
        'GET / HTTP/1.1\r\n\r\n',
        'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc',
        'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n',
        'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
        'GET / HTTP/1.1\r\nHost: h\r\n folded: x\r\n\r\n',
        'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
        'CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n',
        'GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x85',
        '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03',
      ]);
    const perConnection = 16;
    const attack = (): Promise<void> =>
      new Promise((resolve) => {
        let answers = '';
        const bytes = Array.from({ length: perConnection - 1 }, odd).join('') + broken();
        const socket = connect({ port: jwks.port, host: '127.0.0.1' }, () => socket.end(bytes, 'latin1'));
        socket.on('data', (chunk) => (answers += chunk.toString('latin1')));
        socket.on('error', () => undefined);
        socket.on('close', () => {
          for (const [, code = ''] of answers.matchAll(/HTTP\/1\.1 (\d{3}) /g))
            codes.set(code, (codes.get(code) ?? 0) + 1);
          resolve();
        });
      });
    const attacker = async (requests: number): Promise<void> => {
      while (sent < requests) {
        sent += perConnection;
        await attack();
      }
    };
    const wave = async (requests: number): Promise<number> => {
      await Promise.all(Array.from({ length: 16 }, () => attacker(requests)));
      return jwks.residentMiB();
    };
    // The heap has its size after that many.
    const warm = await wave(200_000);
    const end = await wave(300_000);
    const counts = [...codes].map((entry) => entry.join('×')).join(' ');
    console.log(`      ${sent} requests: ${counts}`);
    console.log(`      ${warm.toFixed(0)} MiB after two thirds of them, ${end.toFixed(0)} MiB at the end`);
    expect([...codes.keys()].filter((code) => code.startsWith('5'))).to.deep.equal([]);
    expect(codes.get('400')).to.be.greaterThan(500);
    expect(codes.get('405')).to.be.greaterThan(1000);
    expect(end - warm).to.be.lessThan(24);
    expect(await (await fetch(`http://127.0.0.1:${jwks.port}${path}`)).text()).to.equal(served);
  });

  it('The sidecar can read only its program and the documents, and still serves a change at once', async () => {
    const { nodeArguments } = jwksContainer(jwks.publishDir);
    const flags = nodeArguments.filter((argument) => argument.startsWith('--'));
    for (const [what, denied] of [
      ["require('fs').readFileSync('/etc/hostname')", 'FileSystemRead'],
      [`require('fs').writeFileSync('${join(jwks.publishDir, file)}', '')`, 'FileSystemWrite'],
      ["require('child_process').spawnSync('true')", 'ChildProcess'],
      ["new (require('worker_threads').Worker)('0', { eval: true })", 'WorkerThreads'],
    ] as const) {
      const { status, stderr } = spawnSync(process.execPath, [...flags, '--eval', what], { encoding: 'utf8' });
      expect([what, status]).to.deep.equal([what, 1]);
      expect(stderr).to.include('ERR_ACCESS_DENIED').and.include(denied);
    }
    await jwks.start();
    const next = keySet(3);
    const changed = performance.now();
    jwks.publish(file, next);
    await eventually('the change is served', async () => {
      return (await (await fetch(`http://127.0.0.1:${jwks.port}${path}`)).text()) === next;
    });
    // The scan that makes up for lost notifications comes every 15 s.
    expect(performance.now() - changed).to.be.lessThan(10_000);
    expect(jwks.output()).not.to.match(/"level":"(?:warn|error)"/);
  });

  it('The sidecar is unready at once after SIGTERM, serves while closing connections, and exits with code 0', async () => {
    await jwks.start();
    await get();
    jwks.terminate();
    await eventually('it is unready', async () => (await fetch(`${jwks.adminUrl}/readyz`)).status === 503);
    for (let asked = 0; asked < 20; asked += 1) {
      expect(await get()).to.include({ status: 200, connection: 'close' });
    }
    expect(await jwks.exited).to.equal(0);
  });

  describe('with TLS', () => {
    let files: readonly [certificate: string, key: string];
    beforeEach(() => {
      files = [join(jwks.folder, 'tls.crt'), join(jwks.folder, 'tls.key')];
      certify('first');
    });

    function certify(name: string): void {
      const [certificate, key] = files;
      const subject = ['-subj', `/CN=${name}`, '-days', '2', '-out', certificate, '-keyout', key];
      execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject], { stdio: 'ignore' });
    }

    const start = (): Promise<void> => jwks.start(`--tls-cert=${files[0]}`, `--tls-key=${files[1]}`);

    /** Whose certificate a new connection gets. */
    function served(): Promise<string> {
      return new Promise((resolve, reject) => {
        const socket = connectTls({ port: jwks.port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
          const { CN } = socket.getPeerCertificate().subject;
          socket.destroy();
          resolve(String(CN));
        });
        socket.on('error', reject);
      });
    }

    it('The sidecar uses a renewed certificate, and keeps it when the next one is broken', async () => {
      await start();
      expect(await served()).to.equal('first');
      certify('second');
      await eventually('the renewed certificate is served', async () => (await served()) === 'second');
      writeFileSync(files[0], 'no certificate');
      await eventually('it is logged', () => jwks.output().includes('cannot use the new TLS certificate'));
      expect(await served()).to.equal('second');
      certify('third');
      await eventually('the next good one is served', async () => (await served()) === 'third');
      expect(jwks.output()).not.to.include('PRIVATE KEY');
    });
  });
});
