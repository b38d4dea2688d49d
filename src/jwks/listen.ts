import type { Server } from 'node:http';

import { parseAddress } from '../observability/probes.ts';

/** Connections that are busy this long after the server stopped accepting are cut. */
const closingMs = 5000;

/** Resolves to the `host:port` that is bound; rejects with the reason and the address. */
export async function listen(server: Server, address: string): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new Error(`cannot serve JWKS on ${address}: ${error.code ?? error.name}`)),
    );
    server.listen(parseAddress(address), resolve);
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') return address;
  return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
}

/** Lets running answers end, then closes every connection. */
export function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    const cut = setTimeout(() => server.closeAllConnections(), closingMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}
