import { mkdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';

const heartbeatMs = 5_000;
const staleAfterMs = 60_000;
const pollMs = 500;

/**
 * Runs `work` while holding the lock folder, so that two runs do not build the same thing twice. The lock of a
 * process that is gone, or that has not touched it for a minute, is taken over. If two processes take it over at
 * once, both build; every result is renamed into place whole, so that costs time and nothing else.
 *
 * @param onWait called once when another process holds the lock, with its process ID where it is known
 */
export async function withBuildLock<T>(
  folder: string,
  onWait: (holder: number | undefined) => void,
  work: () => Promise<T>,
): Promise<T> {
  const pidFile = `${folder}/pid`;
  let told = false;
  for (let waited = false; !(await take(folder)); waited = true) {
    const holder = await pidIn(pidFile);
    if (await isStale(folder, holder)) {
      await rm(folder, { recursive: true, force: true });
      continue;
    }
    // A process writes its ID a moment after it took the lock.
    if (!told && (holder !== undefined || waited)) {
      told = true;
      onWait(holder);
    }
    await wait(pollMs);
  }
  await writeFile(pidFile, String(process.pid));
  // A lock that was taken over has no folder to touch any more; nothing to do about it then.
  const heartbeat = setInterval(() => void utimes(folder, new Date(), new Date()).catch(() => undefined), heartbeatMs);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if ((await pidIn(pidFile)) === process.pid) await rm(folder, { recursive: true, force: true });
  }
}

async function take(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

async function pidIn(file: string): Promise<number | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return /^[0-9]+$/.test(text) ? Number(text) : undefined;
}

async function isStale(folder: string, holder: number | undefined): Promise<boolean> {
  if (holder !== undefined && !isAlive(holder)) return true;
  const touched = await stat(folder).catch(() => undefined);
  return touched !== undefined && Date.now() - touched.mtimeMs > staleAfterMs;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
