import { join } from 'node:path';

/** What production runs, as the Dockerfile says it; `npm run build` makes the bundle. */

export const command: readonly string[] = [
  '--max-semi-space-size=2',
  join(import.meta.dirname, '../dist/lti-key-operator.js'),
];

export const environment = { NODE_ENV: 'production', MALLOC_ARENA_MAX: '2' };
