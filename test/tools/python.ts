import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** The pinned packages of the code on docs/tools/python.md. */
export const requirements = join(import.meta.dirname, 'python/requirements.txt');

/** Whether the libraries' code for Python can run here. */
export const hasPython =
  spawnSync('python3', ['-c', 'import sys, venv; assert sys.version_info >= (3, 10)']).status === 0;
