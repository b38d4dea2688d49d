import { join } from 'node:path';

/** What production runs; `npm run build` makes it. */
export const bundle = join(import.meta.dirname, '../dist/lti-key-operator.js');
