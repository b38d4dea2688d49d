import { files, keyPairs, Mount } from '../test/fixtures/mount.ts';
import { type KeyDirectory, openKeyDirectory } from '../tool/typescript/src/tool-keys.ts';
import { quantile } from './quantile.ts';
import { bounded, type Measurement } from './row.ts';
import { newKeyAfterInPython, readsInPython } from './tool-key-python.ts';

/** The libraries for tools, with a directory that is swapped every 100 ms as the kubelet swaps it. */

const reads = 10_000_000;
const readsPerTurn = 20_000;
const swapEvery = 100;
const swaps = 30;

export const toolKey: Measurement = {
  rows: ['tool-current', 'tool-new-key', 'tool-new-key-polling', 'tool-python-current', 'tool-python-new-key'],
  async measure() {
    const watching = await newKeyAfter({});
    const polling = await newKeyAfter({ watch: false });
    const python = await newKeyAfterInPython(swaps);
    return [
      bounded({ name: 'tool-current', ...(await currentKey()) }, 1000),
      bounded({ name: 'tool-new-key', value: watching, unit: 'ms', notes: [`p99 of ${swaps} swaps`] }, 1000),
      bounded({ name: 'tool-new-key-polling', value: polling, unit: 'ms', notes: ['without a watch'] }, 5000),
      bounded({ name: 'tool-python-current', ...(await readsInPython(reads, swapEvery)) }, 1000),
      bounded({ name: 'tool-python-new-key', value: python, unit: 'ms', notes: [`p99 of ${swaps} swaps`] }, 1000),
    ];
  },
};

/** Nanoseconds per read. The swaps are not part of the figure. */
async function currentKey(): Promise<{ value: number; unit: string; notes: string[] }> {
  const keys = await keyPairs;
  const mount = new Mount();
  mount.swap(files(keys[0]));
  const directory = await openKeyDirectory(mount.path);
  let faults = 0;
  let changes = 0;
  let mismatches = 0;
  directory.onFault(() => faults++);
  directory.onChange(({ keyID, privateKey }) => {
    changes++;
    if (!keys.some((key) => key.keyID === keyID && key.privateKey.equals(privateKey))) mismatches++;
  });
  let next = 0;
  const swapping = setInterval(() => mount.swap(files(keys[next++ % keys.length] ?? keys[0])), swapEvery);
  let spent = 0;
  for (let done = 0; done < reads; done += readsPerTurn) {
    const began = performance.now();
    for (let i = 0; i < readsPerTurn; i++) if (directory.current().keyID === '') mismatches++;
    spent += performance.now() - began;
    // Time for swaps to happen and to be seen.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  clearInterval(swapping);
  end(directory, mount);
  if (mismatches + faults > 0 || changes === 0) {
    throw new Error(`${mismatches} mismatches and ${faults} faults in ${changes} changes`);
  }
  return {
    value: (spent * 1e6) / reads,
    unit: 'ns',
    notes: [`${reads} reads during ${changes} changes, without a mismatch or a fault`],
  };
}

/** Milliseconds from the swap to the new key, p99. */
async function newKeyAfter(options: { readonly watch?: boolean }): Promise<number> {
  const keys = await keyPairs;
  const mount = new Mount();
  mount.swap(files(keys[0]));
  const directory = await openKeyDirectory(mount.path, options);
  const took: number[] = [];
  // The directory keeps no process alive.
  const alive = setTimeout(() => undefined, 600_000);
  for (let swap = 1; swap <= swaps; swap++) {
    const changed = new Promise<void>((resolve) => {
      const stop = directory.onChange(() => {
        stop();
        resolve();
      });
    });
    const began = performance.now();
    mount.swap(files(keys[swap % keys.length] ?? keys[0]));
    await changed;
    took.push(performance.now() - began);
  }
  clearTimeout(alive);
  end(directory, mount);
  return quantile(took, 0.99);
}

function end(directory: KeyDirectory, mount: Mount): void {
  directory.close();
  mount.remove();
}
