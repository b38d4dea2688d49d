import { mkdtempSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../../src/lib/clock.ts';

/** Fixed KEKs in the form of `openssl rand -base64 32`. */
export const kekText = (seed: number): string => `${Buffer.alloc(32, seed).toString('base64')}\n`;

/** A KEK directory that is removed after the test. */
export class KekFiles {
  readonly path = mkdtempSync(join(tmpdir(), 'kek-'));
  #mounts = 0;

  write(files: Record<string, string | Buffer>): this {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(this.path, name), content);
    return this;
  }

  remove(name: string): void {
    rmSync(join(this.path, name), { recursive: true });
  }

  /** Replaces the content as the kubelet does for a Secret: a new directory, and one atomic replacement of the `..data` link. */
  mount(files: Record<string, string>): this {
    const version = `..version-${(this.#mounts += 1)}`;
    mkdirSync(join(this.path, version));
    for (const [name, content] of Object.entries(files)) writeFileSync(join(this.path, version, name), content);
    symlinkSync(version, join(this.path, '..data_tmp'));
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'));
    for (const name of Object.keys(files)) {
      rmSync(join(this.path, name), { force: true });
      symlinkSync(join('..data', name), join(this.path, name));
    }
    return this;
  }

  dispose(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A clock that the test advances. */
export class ManualClock implements Clock {
  #milliseconds = 0;

  advance(milliseconds: number): void {
    this.#milliseconds += milliseconds;
  }

  now(): Date {
    return new Date(this.#milliseconds);
  }

  monotonic(): number {
    return this.#milliseconds;
  }

  setTimer(): () => void {
    throw new Error('Nothing here waits.');
  }
}
