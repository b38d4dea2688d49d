import { expect } from 'chai';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withBuildLock } from '../../../../dev/control-plane/build-lock.ts';

describe('the build lock', () => {
  let folder: string;
  let lock: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lock-'));
    lock = join(folder, 'build.lock');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function held(by: number, secondsAgo = 0): void {
    mkdirSync(lock);
    writeFileSync(join(lock, 'pid'), String(by));
    const touched = new Date(Date.now() - secondsAgo * 1000);
    utimesSync(lock, touched, touched);
  }

  it('The build lock is released when the work is done and when it fails', async () => {
    await withBuildLock(lock, unexpectedWait, async () => expect(existsSync(lock)).to.equal(true));
    expect(existsSync(lock)).to.equal(false);
    const outcome = await withBuildLock(lock, unexpectedWait, () => Promise.reject(new Error('no'))).catch(String);
    expect(outcome).to.equal('Error: no');
    expect(existsSync(lock)).to.equal(false);
  });

  it('The build lock is waited for while its holder lives, and says once who that is', async () => {
    const order: string[] = [];
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const { promise: taken, resolve: take } = Promise.withResolvers<void>();
    const first = withBuildLock(lock, unexpectedWait, async () => {
      take();
      await released;
      order.push('first');
    });
    const onWait = (holder: number | undefined): void => {
      order.push(`waits for ${holder === process.pid ? 'the holder' : holder}`);
      release();
    };
    await taken;
    await withBuildLock(lock, onWait, async () => void order.push('second'));
    await first;
    expect(order).to.deep.equal(['waits for the holder', 'first', 'second']);
  });

  it('The build lock is taken over from a process that is gone', async () => {
    held(spawnSync('true').pid);
    expect(await withBuildLock(lock, unexpectedWait, async () => 'built')).to.equal('built');
  });

  it('The build lock is taken over when it was not touched for more than a minute, although another process has its process ID now', async () => {
    held(process.ppid, 61);
    expect(await withBuildLock(lock, unexpectedWait, async () => 'built')).to.equal('built');
  });
});

function unexpectedWait(): void {
  expect.fail('it waited');
}
