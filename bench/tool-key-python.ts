import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { files, keyPairs, Mount } from '../test/fixtures/mount.ts';
import { quantile } from './quantile.ts';

/** What `tool-key.ts` measures, of the Python library. python3 needs cryptography. */

const root = join(import.meta.dirname, '..');

interface Reads {
  readonly nanoseconds: number;
  readonly changes: number;
  readonly mismatches: number;
  readonly faults: number;
}

/** Nanoseconds per read. */
export async function readsInPython(
  reads: number,
  swapEvery: number,
): Promise<{ value: number; unit: string; notes: string[] }> {
  const keys = await keyPairs;
  const mount = new Mount();
  mount.swap(files(keys[0]));
  const moduli = Object.fromEntries(keys.map(({ keyID, publicJWK }) => [keyID, publicJWK.n]));
  const child = startPython('reads', mount, [String(reads), JSON.stringify(moduli)]);
  let next = 0;
  const swapping = setInterval(() => mount.swap(files(keys[next++ % keys.length] ?? keys[0])), swapEvery);
  try {
    const [line] = (await once(createInterface(child.stdout!), 'line')) as [string];
    const { nanoseconds, changes, mismatches, faults } = JSON.parse(line) as Reads;
    if (mismatches + faults > 0 || changes === 0) {
      throw new Error(`${mismatches} mismatches and ${faults} faults in ${changes} changes`);
    }
    const notes = [`${reads} reads during ${changes} changes, without a mismatch or a fault`];
    return { value: nanoseconds, unit: 'ns', notes };
  } finally {
    clearInterval(swapping);
    await endPython(child, mount);
  }
}

/** Milliseconds from the swap to the new key, p99. */
export async function newKeyAfterInPython(swaps: number): Promise<number> {
  const keys = await keyPairs;
  const mount = new Mount();
  mount.swap(files(keys[0]));
  const child = startPython('changes', mount, []);
  const lines = createInterface(child.stdout!);
  const took: number[] = [];
  try {
    await once(lines, 'line');
    for (let swap = 1; swap <= swaps; swap++) {
      // The moment of the swap must not depend on the child's last look.
      await setTimeout((swap * 97) % 500);
      const changed = once(lines, 'line');
      const began = performance.now();
      mount.swap(files(keys[swap % keys.length] ?? keys[0]));
      await changed;
      took.push(performance.now() - began);
    }
  } finally {
    await endPython(child, mount);
  }
  return quantile(took, 0.99);
}

export function startPython(what: 'reads' | 'changes' | 'bundle', mount: Mount, args: readonly string[]): ChildProcess {
  const env = { ...process.env, PYTHONPATH: join(root, 'tool/python/src') };
  const child = spawn('python3', ['-B', join(root, 'bench/tool_key.py'), what, mount.path, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.once('exit', (code) => {
    if (code) throw new Error(`bench/tool_key.py ended with ${code}`);
  });
  return child;
}

export async function endPython(child: ChildProcess, mount: Mount): Promise<void> {
  const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
  child.kill();
  await exited;
  mount.remove();
}
