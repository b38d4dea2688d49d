import { expect } from 'chai';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { spawnTied } from '../../../../dev/control-plane/tied-process.ts';

describe('a tied process', () => {
  let folder: string;
  let logFile: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tied-'));
    logFile = join(folder, 'log');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Living processes with the folder's unique name in their arguments. */
  function alive(): string[] {
    const lines = execFileSync('ps', ['-eo', 'stat=,args='], { encoding: 'utf8' }).split('\n');
    return lines.filter((line) => line.includes(folder) && !line.startsWith('Z'));
  }

  async function untilNoneIsAlive(): Promise<void> {
    while (alive().length > 0) await wait(20);
  }

  // A shell with a child of its own, both recognizable; it says when both run.
  const parentAndChild = 'sh -c "sleep 600; : $1" sh "$1" & echo started; wait';

  it('A tied process reports the exit code of a program that ends, with its output in the log, and leaves nothing behind', async () => {
    const script = 'echo out; echo err >&2; exit 7';
    const tied = spawnTied({ program: '/bin/sh', args: ['-c', script, 'sh', folder], logFile });
    expect(await tied.exited).to.equal(7);
    expect(readFileSync(logFile, 'utf8')).to.equal('out\nerr\n');
    await untilNoneIsAlive();
  });

  it('A tied process reports a program that does not exist', async () => {
    const tied = spawnTied({ program: join(folder, 'missing'), args: [], logFile });
    expect(await tied.exited).to.equal(127);
    expect(readFileSync(logFile, 'utf8')).to.contain('missing');
  });

  it('A tied process is gone with all it started after kill()', async () => {
    const tied = spawnTied({ program: '/bin/sh', args: ['-c', parentAndChild, 'sh', folder], logFile });
    while (!readFileSync(logFile, 'utf8').includes('started')) await wait(20);
    expect(alive().length).to.be.greaterThan(1);
    await tied.kill();
    expect(await tied.exited).to.equal('SIGKILL');
    await untilNoneIsAlive();
  });

  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    it(`A tied process is gone with all it started when this process ends by ${signal}`, async () => {
      const module = join(import.meta.dirname, '../../../../dev/control-plane/tied-process.ts');
      const args = ['-c', parentAndChild, 'sh', folder];
      const source = `
        import { spawnTied } from ${JSON.stringify(module)};
        spawnTied(${JSON.stringify({ program: '/bin/sh', args, logFile })});`;
      const parent = spawn(process.execPath, ['--input-type=module', '--eval', source], { stdio: 'inherit' });
      const ended = new Promise((resolve) => parent.on('exit', (_code, by) => resolve(by)));
      while (!readIfThere(logFile).includes('started')) await wait(20);
      parent.kill(signal);
      expect(await ended).to.equal(signal);
      await untilNoneIsAlive();
    });
  }
});

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
