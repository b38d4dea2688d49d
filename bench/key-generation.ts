import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Generation {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Milliseconds that each key took. */
  readonly each: readonly number[];
}

/** The yardstick, in a process of its own: `count` keys, `atOnce` at a time or as many as there are cores. */
export async function generateKeys(count: number, atOnce?: number): Promise<Generation> {
  const script = join(import.meta.dirname, 'generate-keys.ts');
  const args = [script, String(count), ...(atOnce === undefined ? [] : [String(atOnce)])];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}
