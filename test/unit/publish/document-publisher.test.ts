import { expect } from 'chai';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { createLogger } from '../../../src/observability/log.ts';
import { fileCheckMs } from '../../../src/publish/directory-upkeep.ts';
import { DocumentPublisher, heartbeatMs } from '../../../src/publish/document-publisher.ts';
import { absenceGraceMs, type LtiKeyFacts } from '../../../src/publish/published-key.ts';
import { FakeClock } from '../../fakes/fake-clock.ts';
import { ltiKey, nameOfKey } from '../../builders/lti-key-facts.ts';

/** Lets the files be written: work on files takes turns of the event loop, and no time of the clock. */
async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const deadline = performance.now() + 10_000; performance.now() < deadline; await setImmediate()) {
    if (await holds()) return;
  }
  expect.fail(`never came true: ${what}`);
}

async function inode(directory: string, file: string): Promise<number> {
  return (await stat(join(directory, file))).ino;
}

describe('DocumentPublisher', () => {
  let directory: string;
  let clock: FakeClock;
  let stop: AbortController;
  let running: Promise<void> | undefined;
  let objects: LtiKeyFacts[];
  let synced: boolean;
  let unread: readonly string[];
  let gone: () => Promise<boolean>;
  let asked: string[];
  let log: string;
  let publisher: DocumentPublisher;
  let listOf: (registration: string) => readonly LtiKeyFacts[];
  let told: string[];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'publish-'));
    clock = new FakeClock();
    stop = new AbortController();
    running = undefined;
    objects = [ltiKey('canvas', 1, 'Active')];
    synced = true;
    unread = [];
    gone = () => Promise.resolve(true);
    asked = [];
    log = '';
    told = [];
    listOf = (registration) => objects.filter(({ spec }) => spec.registrationRef.name === registration);
    create(directory);
  });

  afterEach(async () => {
    stop.abort();
    await running;
    await rm(directory, { recursive: true });
  });

  function create(into: string): void {
    publisher = new DocumentPublisher({
      directory: into,
      all: true,
      clock,
      log: createLogger({ level: 'info', format: 'json', destination: { write: (line) => void (log += line) } }),
      published: (namespace, registration) => void told.push(`${namespace}/${registration}`),
      source: {
        list: () => objects,
        listOf: (_namespace, registration) => listOf(registration),
        isUsable: () => synced,
        isConnected: () => synced,
        unread: () => unread,
        confirmGone(namespace, name) {
          asked.push(`${namespace}/${name}`);
          return gone();
        },
        confirmNone(namespace, registration) {
          asked.push(`any of ${namespace}/${registration}`);
          return gone();
        },
      },
    });
  }

  async function start(): Promise<void> {
    running = publisher.run(stop.signal);
    await until(() => publisher.lastSync() !== undefined, 'the first heartbeat');
  }

  /** canvas-2 is in every document, and canvas-3 in that of its registration only: the clock moves on by `stepMs` when it is read. */
  async function startWithRestingAggregates(stepMs: number): Promise<void> {
    await start();
    // The clock stands still while files are written, but for this.
    const slow = clock.monotonic.bind(clock);
    let extra = 0;
    let slowly = true;
    clock.monotonic = () => slow() + (extra += slowly ? stepMs : 0);
    objects.push(ltiKey('canvas', 2, 'Next'));
    publisher.changed('gradebook', 'canvas');
    await clock.advance(20);
    await until(async () => (await kids('all.json')) === 'canvas-1 canvas-2', 'the aggregate is written');
    await until(() => clock.pendingTimers > 0, 'the flush has ended');
    slowly = false;
    objects.push(ltiKey('canvas', 3, 'Next'));
    publisher.changed('gradebook', 'canvas');
    await clock.advance(50);
    await until(async () => (await kids('registration_gradebook_canvas.json')).endsWith('canvas-3'), 'its own');
    await until(() => clock.pendingTimers > 0, 'the second flush has ended');
  }

  async function kids(file: string): Promise<string> {
    const { keys }: { keys: { kid: string }[] } = JSON.parse(await readFile(join(directory, file), 'utf8'));
    return keys.map(({ kid }) => nameOfKey(kid) ?? kid).join(' ');
  }

  it('DocumentPublisher writes every document and then the heartbeat', async () => {
    objects.push(ltiKey('moodle', 1, 'Retired'));
    await start();
    expect(await readdir(directory)).to.have.members([
      'all.json',
      'namespace_gradebook.json',
      'registration_gradebook_canvas.json',
      'registration_gradebook_moodle.json',
      'sync.json',
    ]);
    expect(await kids('all.json')).to.equal('canvas-1');
    expect(await readFile(join(directory, 'registration_gradebook_moodle.json'), 'utf8')).to.equal('{"keys":[]}');
    expect(await readFile(join(directory, 'sync.json'), 'utf8')).to.equal('{"syncedAt":"2026-01-01T00:00:00.000Z"}');
    expect(publisher.documents()).to.equal(4);
  });

  it('DocumentPublisher keeps a key with a foreign key ID out of the document of all namespaces', async () => {
    const { metadata, spec, status } = ltiKey('moodle', 1, 'Active');
    const publicJWK = { ...Object(spec.publicJWK), kid: 'tool-2019' };
    objects.push({ metadata, spec: { ...spec, publicJWK }, ...(status && { status }) });
    await start();
    expect(await kids('registration_gradebook_moodle.json')).to.equal('tool-2019');
    expect(await kids('namespace_gradebook.json')).to.equal('canvas-1 tool-2019');
    expect(await kids('all.json')).to.equal('canvas-1');
  });

  it('DocumentPublisher writes documents that every user can read, whatever the umask', async () => {
    const before = process.umask(0o077);
    try {
      await start();
    } finally {
      process.umask(before);
    }
    expect((await stat(join(directory, 'all.json'))).mode & 0o777).to.equal(0o644);
  });

  it('DocumentPublisher leaves the directory alone before the first sync, and later removes documents of a previous run without an LtiKey', async () => {
    const left = ['registration_old_one.json', '.tmp-99', 'notes.txt'];
    for (const file of left) await writeFile(join(directory, file), 'x');
    synced = false;
    running = publisher.run(stop.signal);
    await clock.advance(60_000);
    expect(await readdir(directory)).to.have.members(left);
    synced = true;
    await clock.advance(50);
    await until(() => publisher.lastSync() !== undefined, 'the first heartbeat');
    await clock.advance(2 * absenceGraceMs - 1000);
    expect(await readdir(directory)).to.include.members(['registration_old_one.json', 'notes.txt']);
    expect(await readdir(directory), 'half a file').not.to.include('.tmp-99');
    await clock.advance(1000);
    await until(async () => !(await readdir(directory)).includes('registration_old_one.json'), 'it is removed');
    expect(asked).to.deep.equal(['any of old/one']);
    expect(await readdir(directory)).to.include('notes.txt');
  });

  it('DocumentPublisher publishes a registration whose LtiKeys are being created once all have a status, or after the grace period', async () => {
    await start();
    objects = [...objects, ltiKey('moodle', 1, 'Retiring'), ltiKey('moodle', 2, undefined)];
    publisher.changed('gradebook', 'moodle');
    await clock.advance(1000);
    expect(await readdir(directory)).not.to.include('registration_gradebook_moodle.json');
    objects = [...objects.slice(0, 2), ltiKey('moodle', 2, 'Active')];
    publisher.changed('gradebook', 'moodle');
    await clock.advance(20);
    await until(async () => (await kids('all.json')) === 'canvas-1 moodle-1 moodle-2', 'both keys are there');
    objects = [...objects, ltiKey('sakai', 1, undefined), ltiKey('sakai', 2, 'Active')];
    publisher.changed('gradebook', 'sakai');
    await clock.advance(absenceGraceMs + 20);
    await until(async () => {
      await clock.advance(20);
      return (await kids('all.json')) === 'canvas-1 moodle-1 moodle-2 sakai-2';
    }, 'what there is of sakai');
  });

  it('DocumentPublisher rewrites only the documents of a changed registration, and only if their bytes differ', async () => {
    objects.push(ltiKey('moodle', 1, 'Active'));
    await start();
    const canvas = await inode(directory, 'registration_gradebook_canvas.json');
    const moodle = await inode(directory, 'registration_gradebook_moodle.json');
    objects[1] = ltiKey('moodle', 1, 'Retiring');
    objects.push(ltiKey('moodle', 2, 'Next'));
    publisher.changed('gradebook', 'moodle');
    publisher.changed('gradebook', 'canvas');
    await clock.advance(20);
    await until(async () => (await kids('all.json')) === 'canvas-1 moodle-1 moodle-2', 'the new key is in all.json');
    expect(await kids('registration_gradebook_moodle.json')).to.equal('moodle-1 moodle-2');
    expect(await inode(directory, 'registration_gradebook_moodle.json')).not.to.equal(moodle);
    expect(await inode(directory, 'registration_gradebook_canvas.json')).to.equal(canvas);
  });

  it('DocumentPublisher waits until changes pause, but no longer than its patience', async () => {
    await start();
    objects.push(ltiKey('canvas', 2, 'Next'));
    for (let at = 0; at < 240; at += 10) {
      publisher.changed('gradebook', 'canvas');
      await clock.advance(10);
    }
    expect(await kids('all.json')).to.equal('canvas-1');
    publisher.changed('gradebook', 'canvas');
    await clock.advance(10);
    await until(async () => (await kids('all.json')) === 'canvas-1 canvas-2', 'written after 250 ms of changes');
  });

  it('DocumentPublisher writes a heartbeat every five seconds while it is synced, and none while it is not', async () => {
    await start();
    await clock.advance(heartbeatMs);
    await until(() => publisher.lastSync()?.toISOString() === '2026-01-01T00:00:05.000Z', 'the second heartbeat');
    synced = false;
    await clock.advance(10 * heartbeatMs);
    expect(publisher.lastSync()?.toISOString()).to.equal('2026-01-01T00:00:05.000Z');
    synced = true;
    await clock.advance(heartbeatMs);
    await until(() => publisher.lastSync()?.toISOString() === '2026-01-01T00:01:00.000Z', 'a heartbeat again');
  });

  it('DocumentPublisher writes documents again that something else deleted, and leaves the others alone', async () => {
    objects.push(ltiKey('moodle', 1, 'Active'));
    await start();
    const [own, other] = ['registration_gradebook_canvas.json', 'registration_gradebook_moodle.json'];
    const before = await inode(directory, other);
    await rm(join(directory, own));
    await rm(join(directory, 'all.json'));
    await clock.advance(fileCheckMs);
    const present = async (file: string): Promise<boolean> => (await readdir(directory)).includes(file);
    await until(async () => (await present(own)) && present('all.json'), 'both are back');
    expect(await kids(own)).to.equal('canvas-1');
    expect(await kids('all.json')).to.equal('canvas-1 moodle-1');
    expect(await inode(directory, other)).to.equal(before);
    expect(log).to.include('"files":2').and.to.include('documents in the publish directory were deleted or changed');
    log = '';
    await clock.advance(fileCheckMs);
    expect(log).to.equal('');
  });

  const alterations: [string, (place: string) => Promise<void>][] = [
    [
      'damaged in place, without a change of its size',
      async (place) => writeFile(place, 'x'.repeat((await stat(place)).size)),
    ],
    ['truncated', (place) => truncate(place, 10)],
    ['replaced by another file', (place) => copyFile(place, `${place}.tmp`).then(() => rename(`${place}.tmp`, place))],
    ['made unreadable to the sidecar', (place) => chmod(place, 0o600)],
  ];
  for (const [what, alter] of alterations) {
    it(`DocumentPublisher writes a document again whose file something else ${what}`, async () => {
      await start();
      const place = join(directory, 'registration_gradebook_canvas.json');
      const content = await readFile(place, 'utf8');
      const { ctimeMs } = await stat(place);
      // The clock of the file system may advance by a few milliseconds at a time.
      const altered = async (): Promise<boolean> => (await alter(place), (await stat(place)).ctimeMs !== ctimeMs);
      await until(altered, 'the file has another change time');
      const { ino } = await stat(place);
      await clock.advance(fileCheckMs);
      await until(async () => (await stat(place)).ino !== ino, 'the file is replaced');
      expect(await readFile(place, 'utf8')).to.equal(content);
      expect((await stat(place)).mode & 0o777).to.equal(0o644);
      expect(log).to.include('"files":1').and.to.include('were deleted or changed');
    });
  }

  it('DocumentPublisher leaves files alone that it found as they should be when it started', async () => {
    await start();
    stop.abort();
    await running;
    const before = await inode(directory, 'all.json');
    stop = new AbortController();
    create(directory);
    await start();
    await clock.advance(fileCheckMs);
    await until(() => publisher.lastSync()?.getTime() === clock.now().getTime(), 'a heartbeat after the check');
    expect(await inode(directory, 'all.json')).to.equal(before);
    expect(log).not.to.include('were deleted or changed');
  });

  it('DocumentPublisher keeps the last good document, writes no heartbeat and retries while it cannot write', async () => {
    await start();
    // A directory in the place of the file makes the rename fail, for every user.
    const place = join(directory, 'registration_gradebook_moodle.json');
    await mkdir(place);
    objects.push(ltiKey('moodle', 1, 'Active'));
    publisher.changed('gradebook', 'moodle');
    await clock.advance(20);
    await until(() => log.includes('cannot write the publish directory'), 'the failure is logged');
    expect(publisher.failures(), 'as the metric says').to.be.greaterThan(0);
    expect(await kids('registration_gradebook_canvas.json')).to.equal('canvas-1');
    await clock.advance(2 * heartbeatMs);
    expect(publisher.lastSync()?.toISOString()).to.equal('2026-01-01T00:00:00.000Z');
    await rm(place, { recursive: true });
    await until(async () => {
      await clock.advance(heartbeatMs);
      return (await readdir(directory)).includes('registration_gradebook_moodle.json');
    }, 'the document is written');
    expect(await kids('registration_gradebook_moodle.json')).to.equal('moodle-1');
    await until(
      async () => !(await readdir(directory)).some((file) => file.startsWith('.tmp-')),
      'no file is left over',
    );
    expect(publisher.failures()).to.equal(0);
  });

  it('DocumentPublisher counts heartbeats that it could not write as failures until one is written', async () => {
    await start();
    await rm(join(directory, 'sync.json'));
    await mkdir(join(directory, 'sync.json'));
    await clock.advance(heartbeatMs);
    await until(() => publisher.failures() === 1, 'the failure is counted');
    await rm(join(directory, 'sync.json'), { recursive: true });
    await clock.advance(heartbeatMs);
    await until(() => publisher.failures() === 0, 'the heartbeat is written');
  });

  it('DocumentPublisher writes a few changes without listing the other registrations', async () => {
    objects = Array.from({ length: 300 }, (_, number) => ltiKey(`r${number}`, 1, 'Active'));
    await start();
    let looked = 0;
    for (const object of objects) Object.defineProperty(object, 'spec', { get: counted(object.spec) });
    function counted<T>(spec: T): () => T {
      return () => {
        looked += 1;
        return spec;
      };
    }
    const index = Map.groupBy(objects, ({ spec }) => spec.registrationRef.name);
    listOf = (registration) => index.get(registration) ?? [];
    looked = 0;
    for (let number = 0; number < 10; number += 1) publisher.changed('gradebook', `r${number}`);
    const before = await inode(directory, 'all.json');
    index.get('r7')?.push(ltiKey('r7', 2, 'Next'));
    await clock.advance(20);
    await until(async () => (await inode(directory, 'all.json')) !== before, 'all.json is written');
    expect(await kids('registration_gradebook_r7.json')).to.equal('r7-1 r7-2');
    expect((await kids('all.json')).split(' ')).to.have.length(301);
    expect(looked).to.be.lessThan(150);
  });

  it('DocumentPublisher delays large aggregates in proportion to the time that writing them takes, but not the documents of registrations', async () => {
    await startWithRestingAggregates(10);
    expect(await kids('all.json')).to.equal('canvas-1 canvas-2');
    expect(told, 'told before the aggregate was written').to.deep.equal(['gradebook/canvas', 'gradebook/canvas']);
    await clock.advance(2000);
    await until(async () => (await kids('all.json')).endsWith('canvas-3'), 'the aggregate follows');
    await until(() => told.length === 3, 'told that all documents have the key');
  });

  it('DocumentPublisher writes no heartbeat while a stale aggregate is delayed', async () => {
    await startWithRestingAggregates(250);
    const before = publisher.lastSync();
    await clock.advance(heartbeatMs);
    await until(() => clock.pendingTimers > 0, 'the heartbeat was due');
    expect(await kids('all.json'), 'it rests for ten seconds').to.equal('canvas-1 canvas-2');
    expect(publisher.lastSync()).to.equal(before);
    await clock.advance(2 * heartbeatMs);
    await until(() => publisher.lastSync() !== before, 'the heartbeat');
    expect(await kids('all.json'), 'with the heartbeat').to.match(/canvas-3$/);
  });

  it('DocumentPublisher publishes the others if a registration has a name that no file can have', async () => {
    const names = [
      'x'.repeat(64),
      'x'.repeat(250),
      '..',
      '.',
      '../registration_bank_canvas',
      'a/b',
      'a\0',
      'a_b',
      '',
      'A',
      'sync',
    ];
    for (const name of names) objects.push(ltiKey(name, 1, 'Active'));
    await start();
    for (const name of names) publisher.changed('gradebook', name);
    await clock.advance(20);
    await until(() => clock.pendingTimers > 0, 'the changes are taken in');
    expect(await kids('registration_gradebook_canvas.json')).to.equal('canvas-1');
    expect(await readdir(directory)).to.have.members([
      'all.json',
      'namespace_gradebook.json',
      'registration_gradebook_canvas.json',
      'registration_gradebook_sync.json',
      'sync.json',
    ]);
    expect(await readdir(join(directory, '..'))).not.to.include('registration_bank_canvas.json');
    expect(log.split('registrationRef.name is not a DNS name')).to.have.length(names.length);
  });

  it('DocumentPublisher keeps the key of a deleted LtiKey published until the API server confirms after 30 s that it does not exist', async () => {
    await start();
    objects = [];
    publisher.changed('gradebook', 'canvas');
    await clock.advance(20);
    gone = () => Promise.reject(new Error('the resource type is missing'));
    await clock.advance(absenceGraceMs);
    await until(() => asked.length === 1, 'asked for the LtiKey');
    expect(await kids('registration_gradebook_canvas.json')).to.equal('canvas-1');
    gone = () => Promise.resolve(true);
    await clock.advance(absenceGraceMs);
    await until(() => asked.length === 2, 'asked again');
    // Only now can the operator put it back.
    await clock.advance(absenceGraceMs + 44_000);
    expect(asked).to.have.length(2);
    expect(await kids('registration_gradebook_canvas.json')).to.equal('canvas-1');
    await clock.advance(1000);
    await until(() => asked.length === 3, 'asked a last time');
    await until(async () => {
      await clock.advance(20);
      return !(await readdir(directory)).includes('registration_gradebook_canvas.json');
    }, 'the document is removed');
    expect(new Set(asked)).to.deep.equal(new Set(['gradebook/canvas-1']));
    await until(async () => (await kids('all.json')) === '', 'the key leaves all.json');
  });

  it('DocumentPublisher leaves the directory unchanged when it stops, and no timer behind', async () => {
    await start();
    stop.abort();
    await running;
    expect(await kids('all.json')).to.equal('canvas-1');
    expect(clock.pendingTimers).to.equal(0);
  });

  it('DocumentPublisher logs once why the directory cannot be written, for how many files, and when it is writable again', async () => {
    for (let n = 0; n < 50; n += 1) objects.push(ltiKey(`moodle-${n}`, 1, 'Active'));
    const blocked = join(directory, 'file');
    await writeFile(blocked, '');
    create(join(blocked, 'publish'));
    running = publisher.run(stop.signal);
    await until(() => publisher.failures() > 0, 'it fails');
    for (let n = 0; n < 10; n += 1) {
      const before = publisher.failures();
      await until(async () => {
        await clock.advance(1000);
        return publisher.failures() > before;
      }, 'it fails again');
    }
    const lines = (): readonly string[] => log.split('\n').filter((line) => line.includes('the publish directory'));
    expect(lines().map((line) => JSON.parse(line).files)).to.deep.equal([54]);
    await rm(blocked);
    await until(async () => {
      await clock.advance(1000);
      return publisher.lastSync() !== undefined;
    }, 'the heartbeat');
    expect(lines()).to.have.length(2);
    expect(lines()[1]).to.include('is writable again');
  });

  describe('while a namespace cannot be read', () => {
    const heartbeat = async (): Promise<{ syncedAt: string; unread?: readonly string[] }> =>
      JSON.parse(await readFile(join(directory, 'sync.json'), 'utf8'));
    const document = (...names: readonly string[]): string =>
      JSON.stringify({
        keys: names.map((name) => ltiKey(name, 1, 'Active').spec.publicJWK),
      });

    beforeEach(() => {
      unread = ['team-b'];
    });

    it('DocumentPublisher publishes the namespaces that it can read, and lists the unread one in the heartbeat', async () => {
      await start();
      expect(await kids('namespace_gradebook.json')).to.equal('canvas-1');
      expect(await readdir(directory)).not.to.include('all.json');
      expect((await heartbeat()).unread).to.deep.equal(['team-b']);
      objects.push(ltiKey('canvas', 2, 'Next'));
      publisher.changed('gradebook', 'canvas');
      await clock.advance(20);
      await until(() => told.length === 2, 'told that all documents there can be have the key');
      expect(await readdir(directory)).not.to.include('all.json');
    });

    it('DocumentPublisher writes the document of all namespaces once the unread namespace is read, even if that is empty', async () => {
      await start();
      unread = [];
      publisher.namespaceRead();
      await until(async () => (await readdir(directory)).includes('all.json'), 'the document of all namespaces');
      await until(() => clock.pendingTimers > 0, 'the flush has ended');
      await clock.advance(heartbeatMs);
      await until(async () => (await heartbeat()).unread === undefined, 'a heartbeat without it');
      expect(await kids('all.json')).to.equal('canvas-1');
    });

    it('DocumentPublisher keeps the documents of a previous run, including the document of all namespaces', async () => {
      const left = ['all.json', 'namespace_team-b.json', 'registration_team-b_moodle.json'];
      for (const file of left) await writeFile(join(directory, file), document('canvas', 'moodle'));
      await start();
      await clock.advance(4 * absenceGraceMs);
      for (const file of left)
        expect(await readFile(join(directory, file), 'utf8')).to.equal(document('canvas', 'moodle'));
      expect(asked).to.deep.equal([]);
    });

    it('DocumentPublisher removes the document of all namespaces of a previous run if it lists a revoked key', async () => {
      await writeFile(join(directory, 'all.json'), document('canvas', 'moodle'));
      await start();
      objects = [ltiKey('canvas', 1, 'Revoked'), ltiKey('canvas', 2, 'Active')];
      publisher.changed('gradebook', 'canvas');
      await clock.advance(20);
      await until(async () => !(await readdir(directory)).includes('all.json'), 'it is gone');
      expect(await kids('registration_gradebook_canvas.json')).to.equal('canvas-2');
    });

    it('DocumentPublisher keeps the document of all namespaces at the start unless it lists the revoked key', async () => {
      objects = [ltiKey('canvas', 1, 'Active'), ltiKey('sakai', 1, 'Revoked')];
      await writeFile(join(directory, 'all.json'), document('canvas', 'moodle'));
      await start();
      expect(await readdir(directory)).to.include('all.json');
      objects.push(ltiKey('moodle', 1, 'Revoked'));
      stop.abort();
      await running;
      stop = new AbortController();
      create(directory);
      await start();
      expect(await readdir(directory)).not.to.include('all.json');
    });
  });

  it('DocumentPublisher asks the API server before it removes documents of a previous run, and keeps them without an answer', async () => {
    const left = ['namespace_old.json', 'registration_old_one.json', 'registration_old_two.json'];
    for (const file of left) await writeFile(join(directory, file), '{"keys":[]}');
    gone = () => Promise.reject(new Error('refused'));
    await start();
    await clock.advance(2 * absenceGraceMs);
    await until(() => asked.length === 2, 'asked about both');
    await clock.advance(absenceGraceMs);
    await until(() => asked.length === 4, 'asked again');
    expect(await readdir(directory)).to.include.members(left);
    gone = () => Promise.resolve(true);
    await until(async () => {
      await clock.advance(1000);
      return !(await readdir(directory)).some((file) => left.includes(file));
    }, 'they are removed');
    expect(await kids('all.json')).to.equal('canvas-1');
  });

  it('DocumentPublisher asks about absent LtiKeys in parallel, and publishes other changes meanwhile', async () => {
    for (const name of ['moodle', 'sakai']) objects.push(ltiKey(name, 1, 'Active'));
    await start();
    objects = objects.slice(0, 1);
    gone = () => new Promise(() => undefined);
    for (const name of ['moodle', 'sakai']) publisher.changed('gradebook', name);
    await clock.advance(absenceGraceMs + 250);
    await until(() => asked.length === 2, 'asked about both');
    objects.push(ltiKey('late', 1, 'Retiring'), ltiKey('late', 2, undefined));
    objects.push(ltiKey('late', 3, 'Active'));
    publisher.changed('gradebook', 'late');
    await until(async () => {
      await clock.advance(1000);
      return (await readdir(directory)).includes('registration_gradebook_late.json');
    }, 'what was held back for the grace period is published');
  });
});
