import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { bundleFiles, keyPairs, Mount, neededFiles } from '../test/fixtures/mount.ts';
import { type Delivery, openKeyBundle } from '../tool/typescript/src/tool-keys.ts';
import { bounded, type Measurement, type MeasurementOptions } from './row.ts';
import { endPython, startPython } from './tool-key-python.ts';

/** The libraries for tools, with a bundle of many registrations. A swap rewrites the files of all, and changes the key of one. */

const changing = 'lms-0';
const swaps = 5;

export const toolBundle: Measurement = {
  rows: ['tool-bundle-new-key', 'tool-python-bundle-new-key'],
  async measure(options) {
    return [
      bounded({ name: 'tool-bundle-new-key', ...(await newKeyAfter(options)) }, 5000),
      bounded({ name: 'tool-python-bundle-new-key', ...(await newKeyAfterInPython(options)) }, 5000),
    ];
  },
};

interface Figure {
  readonly value: number;
  readonly unit: string;
  readonly notes: readonly string[];
}

/** The most milliseconds from a swap to the new key. */
async function newKeyAfter({ registrations }: MeasurementOptions): Promise<Figure> {
  const mount = new Mount();
  const contents = await versions(registrations);
  mount.swap(contents[0]!);
  const began = performance.now();
  const bundle = await openKeyBundle(mount.path);
  const opened = performance.now() - began;
  // The bundle keeps no process alive.
  const alive = setTimeout(() => undefined, 600_000);
  let changes = 0;
  const took: number[] = [];
  for (let swap = 1; swap <= swaps; swap++) {
    const changed = new Promise<void>((resolve) => {
      const stop = bundle.onChange((_key, _current: Delivery) => {
        changes++;
        stop();
        resolve();
      });
    });
    mount.swap(contents[swap % contents.length]!);
    const swapped = performance.now();
    await changed;
    took.push(performance.now() - swapped);
    await bundle.refresh();
  }
  clearTimeout(alive);
  bundle.close();
  mount.remove();
  if (changes !== swaps) throw new Error(`${changes} changes in ${swaps} swaps`);
  return figure(took, opened, registrations);
}

async function newKeyAfterInPython({ registrations }: MeasurementOptions): Promise<Figure> {
  const mount = new Mount();
  const contents = await versions(registrations);
  mount.swap(contents[0]!);
  const began = performance.now();
  const child = startPython('bundle', mount, [changing]);
  const lines = createInterface(child.stdout!);
  const took: number[] = [];
  try {
    await once(lines, 'line');
    const opened = performance.now() - began;
    for (let swap = 1; swap <= swaps; swap++) {
      const changed = once(lines, 'line');
      mount.swap(contents[swap % contents.length]!);
      const swapped = performance.now();
      await changed;
      took.push(performance.now() - swapped);
    }
    return figure(took, opened, registrations);
  } finally {
    await endPython(child, mount);
  }
}

function figure(took: readonly number[], opened: number, registrations: number): Figure {
  const notes = [`${registrations} registrations, opened in ${(opened / 1000).toFixed(1)} s, most of ${swaps} swaps`];
  return { value: Math.max(...took), unit: 'ms', notes };
}

/** The files of a bundle, once for each key of the registration that changes. */
async function versions(registrations: number): Promise<readonly Record<string, string>[]> {
  const keys = await keyPairs;
  const delivered = keys.map(neededFiles);
  return delivered.map((one) =>
    bundleFiles(
      Object.fromEntries(
        Array.from({ length: registrations }, (_, index) => [`lms-${index}`, index === 0 ? one : delivered[0]!]),
      ),
    ),
  );
}
