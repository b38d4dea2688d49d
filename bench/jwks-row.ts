import { command } from './bundle.ts';
import { measureJwks } from './jwks.ts';
import type { Measurement } from './row.ts';

const name = 'jwks-200-one-core';

export const jwks: Measurement = {
  rows: [name],
  async measure() {
    const anyPort = ['--address', '127.0.0.1:0', '--admin-address', '127.0.0.1:0'];
    const { ours, bare, ratio } = await measureJwks([...command, 'jwks', ...anyPort, '--publish-dir']);
    const notes = [`bare node:http server: ${Math.round(bare)} requests/s`];
    return [{ name, value: ours, unit: 'requests/s', limit: { of: 'ratio', atLeast: 0.9 }, ratio, notes }];
  },
};
