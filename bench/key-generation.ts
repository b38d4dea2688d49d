import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Generation {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** The milliseconds of each key. */
  readonly each: readonly number[];
}

/** The baseline, in a process of its own: generates `count` keys, `atOnce` concurrently or one per core. */
export async function generateKeys(count: number, atOnce?: number): Promise<Generation> {
  const script = join(import.meta.dirname, 'generate-keys.ts');
  const args = [script, String(count), ...(atOnce === undefined ? [] : [String(atOnce)])];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}
