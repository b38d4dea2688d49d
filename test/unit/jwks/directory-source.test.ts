import { expect } from 'chai';
import { mkdir, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { largestDocumentBytes } from '../../../src/documents/document-file.ts';
import { DirectorySource, scanMs } from '../../../src/jwks/directory-source.ts';
import { Health } from '../../../src/jwks/health.ts';
import { createLogger } from '../../../src/observability/log.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';

const file = 'registration_gradebook_canvas.json';
const path = '/registrations/gradebook/canvas/jwks.json';

function content(...kids: readonly string[]): string {
  const n = Buffer.alloc(256, 0x81).toString('base64url');
  return JSON.stringify({ keys: kids.map((kid) => ({ kty: 'RSA', use: 'sig', alg: 'RS256', kid, n, e: 'AQAB' })) });
}

describe('DirectorySource', () => {
  let directory: string;
  let clock: FakeClock;
  let source: DirectorySource;
  let log: string;
  let stop: AbortController;
  let running: Promise<void> | undefined;
  let beats: number;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'jwks-'));
    clock = new FakeClock();
    log = '';
    beats = 0;
    stop = new AbortController();
    running = undefined;
    source = new DirectorySource({
      directory,
      health: new Health(clock),
      clock,
      log: createLogger({ level: 'info', format: 'json', destination: { write: (line) => void (log += line) } }),
    });
  });

  afterEach(async () => {
    stop.abort();
    await running;
    await rm(directory, { recursive: true, force: true });
  });

  async function put(name: string, text: string): Promise<void> {
    await writeFile(join(directory, '.tmp-1'), text);
    await rename(join(directory, '.tmp-1'), join(directory, name));
  }

  async function beat(): Promise<void> {
    beats += 1;
    await put('sync.json', JSON.stringify({ syncedAt: new Date(clock.now().getTime() + beats).toISOString() }));
  }

  /** Time passes until `holds`, which the kernel's notification or the next scan brings about. */
  async function until(holds: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + 10_000;
    for (let turn = 0; performance.now() < deadline; turn += 1) {
      for (let rest = 0; rest < 20; rest += 1) await setImmediate();
      if (holds()) return;
      // Four scans are enough; then only the machine can be what is slow.
      if (turn < 200) await clock.advance(scanMs / 50);
    }
    expect.fail(`never came true: ${what}`);
  }

  /** The reasons of what is refused now. */
  function refused(): readonly string[] {
    return [...source.refusals()];
  }

  function kids(of = path): string | undefined {
    const body = source.documents.get(of)?.body;
    if (body === undefined) return undefined;
    const { keys }: { keys: { kid: string }[] } = JSON.parse(body.toString());
    return keys.map(({ kid }) => kid).join(' ');
  }

  async function start(): Promise<void> {
    running = source.run(stop.signal);
    await until(() => clock.pendingTimers > 0, 'the first scan');
    await beat();
    await until(() => source.synced(), 'synced');
  }

  it('DirectorySource serves each kind of file at its path, and no other file', async () => {
    await put('all.json', content('a', 'b'));
    await put('namespace_gradebook.json', content('a'));
    await put(file, content('b'));
    await put('other.json', content('c'));
    await start();
    expect(source.documents.size).to.equal(3);
    expect(kids('/.well-known/jwks.json')).to.equal('a b');
    expect(kids('/namespaces/gradebook/jwks.json')).to.equal('a');
    expect(kids()).to.equal('b');
  });

  it('DirectorySource is not synced by the heartbeat of a previous run', async () => {
    await put(file, content('a'));
    await beat();
    running = source.run(stop.signal);
    await until(() => kids() === 'a', 'the first scan');
    await clock.advance(10 * scanMs);
    expect(source.synced()).to.equal(false);
    await beat();
    await until(() => source.synced(), 'synced');
  });

  it('DirectorySource has read every file when a heartbeat makes it synced', async () => {
    running = source.run(stop.signal);
    await until(() => clock.pendingTimers > 0, 'the first scan');
    for (let number = 0; number < 50; number += 1) await put(`registration_gradebook_r${number}.json`, content('a'));
    await beat();
    await until(() => source.synced(), 'synced');
    expect(source.documents.size).to.equal(50);
  });

  it('DirectorySource serves changed files', async () => {
    await put(file, content('a'));
    await start();
    await put(file, content('a', 'b'));
    await until(() => kids() === 'a b', 'the change is served');
  });

  it('DirectorySource drops a document when its file disappears while the publisher is alive', async () => {
    await put(file, content('a'));
    await start();
    await rm(join(directory, file));
    await until(() => !source.documents.has(path), 'the document is gone');
  });

  it('DirectorySource keeps a document whose file is gone while there is no heartbeat, until the next one', async () => {
    await put(file, content('a'));
    await start();
    await clock.advance(20_000);
    await rm(join(directory, file));
    await clock.advance(10 * scanMs);
    for (let turn = 0; turn < 200; turn += 1) await setImmediate();
    expect(kids()).to.equal('a');
    await beat();
    await until(() => !source.documents.has(path), 'the document is gone');
  });

  it('DirectorySource keeps every document when the directory is gone', async () => {
    await put(file, content('a'));
    await start();
    await rm(directory, { recursive: true });
    await clock.advance(20_000);
    await until(() => log.includes('cannot read the publish directory'), 'the failure is logged');
    expect(source.synced()).to.equal(true);
  });

  const bad: readonly (readonly [what: string, text: string, reason: string])[] = [
    ['empty', '', 'NotJSON'],
    ['torn', content('b').slice(0, 80), 'NotJSON'],
    ['not a document', '{"keys":{}}', 'NotADocument'],
    ['holding a private key', content('b').replace('"e"', '"d":"c2VjcmV0","e"'), 'PrivateMember'],
    ['holding a bad key', content('b').replace('RS256', 'none'), 'BadKey'],
  ];
  for (const [what, text, reason] of bad) {
    it(`DirectorySource keeps the last good document when its file is ${what}, and logs it once`, async () => {
      await put(file, content('a'));
      await start();
      await put(file, text);
      await until(() => refused().length > 0, 'the file is refused');
      await clock.advance(3 * scanMs);
      expect(kids()).to.equal('a');
      expect(refused()).to.deep.equal([reason]);
      expect(log.match(/refused a document/g)).to.have.length(1);
      expect(log).to.include(`"file":"${file}"`).and.not.to.include('c2VjcmV0');
      await put(file, content('c'));
      await until(() => kids() === 'c', 'the next good file is served');
      expect(refused(), 'now').to.deep.equal([]);
    });
  }

  it('DirectorySource limits how often it reads an aggregate that changes all the time, and the heartbeat with it', async () => {
    const aggregate = 'namespace_gradebook.json';
    const names = Array.from({ length: 3000 }, (_, number) => `k${number}`);
    await start();
    await put(aggregate, content(...names));
    await until(() => source.documents.size === 1, 'the aggregate is served');
    await put(aggregate, content('a'));
    await put(file, content('b'));
    // No time passes: only the document of the registration is read.
    for (let turn = 0; kids() !== 'b'; turn += 1) await setImmediate();
    expect(kids('/namespaces/gradebook/jwks.json')).to.equal(names.join(' '));
    await clock.advance(5000);
    await until(() => kids('/namespaces/gradebook/jwks.json') === 'a', 'the aggregate is read');
  });

  it('DirectorySource logs once for all documents why they cannot be read, and again if the cause returns', async () => {
    const unreadable = Array.from({ length: 20 }, (_, number) => `registration_gradebook_r${number}.json`);
    for (const name of unreadable) await mkdir(join(directory, name));
    await put(file, content('a'));
    await start();
    await clock.advance(3 * scanMs);
    await until(() => refused().length === 20, 'all are refused');
    expect(log.match(/cannot read documents/g)).to.have.length(1);
    expect(kids()).to.equal('a');
    for (const name of unreadable) await rm(join(directory, name), { recursive: true });
    await beat();
    await until(() => refused().length === 0, 'nothing is refused');
    await clock.advance(2 * scanMs);
    await beat();
    await mkdir(join(directory, unreadable[0]!));
    await until(() => log.match(/cannot read documents/g)?.length === 2, 'the cause is logged again');
  });

  it('DirectorySource does not read a file over the limit', async () => {
    await put(file, content('a'));
    await start();
    await put('.tmp-2', '');
    await truncate(join(directory, '.tmp-2'), largestDocumentBytes + 1);
    await rename(join(directory, '.tmp-2'), join(directory, file));
    await until(() => refused().length > 0, 'the file is refused');
    expect(refused()).to.deep.equal(['TooLarge']);
    expect(kids()).to.equal('a');
  });

  it('DirectorySource has no document for a file that was never good, and reports the refusal until the file is gone', async () => {
    await put(file, 'x');
    await start();
    expect(source.documents.has(path)).to.equal(false);
    expect(refused()).to.deep.equal(['NotJSON']);
    await rm(join(directory, file));
    await until(() => refused().length === 0, 'nothing is refused');
  });

  for (const [what, name, served] of [
    ['registration', file, path],
    ['namespace', 'namespace_gradebook.json', '/namespaces/gradebook/jwks.json'],
    ['all namespaces', 'all.json', '/.well-known/jwks.json'],
  ] as const) {
    it(`DirectorySource drops the document of a ${what} when its file has no keys any more, and serves it again with the next key`, async () => {
      await put(name, content('a'));
      await start();
      await put(name, content());
      await until(() => !source.documents.has(served), 'nothing is served');
      expect(refused()).to.deep.equal([]);
      await put(name, content('b'));
      await until(() => kids(served) === 'b', 'the next key is served');
    });
  }

  it('DirectorySource leaves no timer behind after it stops', async () => {
    await start();
    stop.abort();
    await running;
    expect(clock.pendingTimers).to.equal(0);
  });
});
