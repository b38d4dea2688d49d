import { join } from 'node:path';

/** The command line and environment of the Dockerfile; `npm run build` makes the bundle. */

export const command: readonly string[] = [
  '--max-semi-space-size=2',
  join(import.meta.dirname, '../dist/lti-key-operator.js'),
];

export const environment = { NODE_ENV: 'production', MALLOC_ARENA_MAX: '2' };
