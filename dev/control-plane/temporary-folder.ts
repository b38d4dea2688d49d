import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TemporaryFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/** Programs that are being killed may still write into the folder, so the removal tries for five seconds. */
const removeWhenPipeCloses =
  'read -r _; n=0; until rm -rf "$1" 2>/dev/null || [ $n -ge 50 ]; do n=$((n+1)); sleep 0.1; done';

/** A folder that only its owner can read, removed whenever this process ends, SIGKILL included (see tied-process.ts). */
export function temporaryFolder(): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), 'lti-control-plane-'));
  const remover = spawn('/bin/sh', ['-c', removeWhenPipeCloses, 'sh', path], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const removed = new Promise<void>((resolve) => remover.on('close', () => resolve()));
  return {
    path,
    async remove() {
      remover.stdin.end();
      await removed;
      await rm(path, { recursive: true, force: true });
    },
  };
}
