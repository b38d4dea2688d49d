import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import request from 'supertest';
import { certificateCheckMs } from '../../../src/jwks/certificate.ts';
import { runJwks } from '../../../src/jwks/run.ts';
import { createLogger } from '../../../src/observability/log.ts';
import { createRegistry } from '../../../src/observability/metrics.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = performance.now() + 10_000; performance.now() < deadline; await setImmediate()) {
    if (await holds()) return;
  }
  expect.fail(`never came true: ${what}`);
}

describe('runJwks', () => {
  let directory: string;
  let clock: FakeClock;
  let stop: AbortController;
  let running: Promise<void> | undefined;
  let lines: { message: string; address?: string }[];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'jwks-run-'));
    clock = new FakeClock();
    stop = new AbortController();
    lines = [];
  });

  afterEach(async () => {
    stop.abort();
    await clock.advance(7000);
    await running?.catch(() => undefined);
    await rm(directory, { recursive: true });
  });

  function run(address = '127.0.0.1:0', more: { tlsCert?: string; tlsKey?: string } = {}): Promise<void> {
    const destination = { write: (line: string): void => void lines.push(JSON.parse(line)) };
    running = runJwks(
      { publishDir: directory, address, adminAddress: '127.0.0.1:0', maxAge: 300, keepAlive: 3660, ...more },
      {
        clock,
        log: createLogger({ level: 'info', format: 'json', destination }),
        registry: createRegistry('test'),
        signal: stop.signal,
        drainMs: 7000,
      },
    );
    return running;
  }

  async function addressOf(message: string): Promise<string> {
    await until(() => lines.some((line) => line.message === message), message);
    return `http://127.0.0.1:${lines
      .find((line) => line.message === message)
      ?.address?.split(':')
      .at(-1)}`;
  }

  it('runJwks is ready after a heartbeat, and after the signal unready at once while it serves for the drain time', async () => {
    const finished = run();
    const serving = request(await addressOf('serving JWKS'));
    const admin = request(await addressOf('serving probes and metrics'));
    expect((await serving.get('/.well-known/jwks.json')).status).to.equal(503);
    expect((await admin.get('/readyz')).status).to.equal(503);
    expect((await admin.get('/metrics')).text).to.include('lti_jwks_synced 0\n');
    await until(() => clock.pendingTimers > 0, 'the first scan');

    const n = Buffer.alloc(256, 0x81).toString('base64url');
    const keys = [{ kty: 'RSA', use: 'sig', alg: 'RS256', kid: 'k', n, e: 'AQAB' }];
    for (const [file, content] of Object.entries({ 'all.json': { keys }, 'sync.json': { syncedAt: clock.now() } })) {
      await writeFile(join(directory, '.tmp-1'), JSON.stringify(content));
      await rename(join(directory, '.tmp-1'), join(directory, file));
    }
    await until(async () => (await admin.get('/readyz')).status === 200, 'ready');
    expect((await serving.get('/.well-known/jwks.json')).body).to.deep.equal({ keys });
    const { text } = await admin.get('/metrics');
    expect(text).to.include('lti_jwks_requests_total{code="200"} 1\n').and.to.include('lti_jwks_documents 1\n');
    expect(text).to.include('lti_jwks_requests_total{code="503"} 1\n').and.to.include('lti_jwks_age_seconds 0\n');
    expect(text).to.include('lti_jwks_synced 1\n').and.to.include('lti_jwks_refused_files{reason="NotJSON"} 0\n');

    const path = '/.well-known/jwks.json';
    const report = { fetches: { [path]: { count: 1, secondsAgo: 0 } } };
    expect((await admin.get('/fetches')).body).to.deep.equal(report);
    expect((await admin.get('/fetches?within=60')).body).to.deep.equal(report);
    expect((await serving.get('/fetches')).status, 'on the public port').to.equal(404);

    stop.abort();
    expect((await admin.get('/readyz')).status).to.equal(503);
    await clock.advance(6999);
    const { status, headers } = await serving.get('/.well-known/jwks.json');
    expect([status, headers['connection']]).to.deep.equal([200, 'close']);
    await clock.advance(1);
    await finished;
    expect(clock.pendingTimers).to.equal(0);
  });

  it('runJwks reports the address that it cannot listen on, and closes the other', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => void taken.listen(0, '127.0.0.1', resolve));
    const bound = taken.address();
    const address = `127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`;
    const error: unknown = await run(address).catch((reason: unknown) => reason);
    taken.close();
    expect(String(error)).to.equal(`Error: cannot serve JWKS on ${address}: EADDRINUSE`);
    expect(lines).to.deep.equal([]);
  });

  it('runJwks reports the validity of the current certificate in its metrics, and of a renewed one', async () => {
    const files = { tlsCert: join(directory, 'tls.crt'), tlsKey: join(directory, 'tls.key') };
    const certify = (days: number): number => {
      const options = ['-subj', '/CN=keys', '-days', String(days), '-out', files.tlsCert, '-keyout', files.tlsKey];
      execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...options], { stdio: 'ignore' });
      return Date.now() / 1000 + days * 86_400;
    };
    const expiry = certify(2);
    void run('127.0.0.1:0', files);
    const admin = request(await addressOf('serving probes and metrics'));
    const value = async (end: 'not_before' | 'not_after'): Promise<number> => {
      const { text } = await admin.get('/metrics');
      return Number(new RegExp(`^lti_jwks_certificate_${end}_timestamp_seconds (.*)$`, 'm').exec(text)?.[1]);
    };
    expect(await value('not_after')).to.be.closeTo(expiry, 60);
    expect(await value('not_before')).to.be.closeTo(Date.now() / 1000, 60);
    const renewed = certify(90);
    await clock.advance(certificateCheckMs);
    await until(async () => Math.abs((await value('not_after')) - renewed) < 60, 'the renewed one is reported');
  });

  it('runJwks reports the certificate file that it cannot read', async () => {
    const error: unknown = await run('127.0.0.1:0', { tlsCert: '/nowhere/tls.crt', tlsKey: '/nowhere/tls.key' }).catch(
      (reason: unknown) => reason,
    );
    expect(String(error)).to.match(/ENOENT.*\/nowhere\/tls\.crt/);
  });
});
