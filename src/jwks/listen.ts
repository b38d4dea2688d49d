import type { Server } from 'node:http';

/** Connections that are busy this long after the server stopped accepting are cut. */
const closingMs = 5000;

/** Resolves to the `host:port` that is bound; rejects with the reason and the address. */
export function listen(server: Server, address: string): Promise<string> {
  const [, v6, host, port] = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(address) ?? [];
  if (port === undefined) throw new Error(`address ${JSON.stringify(address)} is not host:port, [v6]:port or :port`);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: Number(port), ...((v6 ?? host) && { host: v6 ?? host }) }, () => {
      server.off('error', reject);
      const bound = server.address();
      if (bound === null || typeof bound === 'string') return resolve(address);
      resolve(bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`);
    });
  });
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
