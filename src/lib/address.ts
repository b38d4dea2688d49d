import type { AddressInfo, Server } from 'node:net';

/** Reads `host:port`, `[IPv6]:port` or, for every interface, `:port`. Throws for anything else. */
export function parseAddress(address: string): { readonly host?: string; readonly port: number } {
  const match = /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<name>[^:[\]\s/]*)):(?<port>\d{1,5})$/u.exec(address);
  const port = Number(match?.groups?.['port']);
  if (match === null || port > 65_535) {
    throw new Error(`"${address}" is not an address to listen on: write host:port or :port, for example :8081`);
  }
  const host = match.groups?.['v6'] ?? match.groups?.['name'] ?? '';
  return host === '' ? { port } : { host, port };
}

/** Listens on an address as `parseAddress` reads it. Rejects with `what` the server answers, the address and the reason. */
export async function listen(server: Server, address: string, what: string): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new Error(`cannot serve ${what} on ${address}: ${error.code ?? error.name}`)),
    );
    server.listen(parseAddress(address), resolve);
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error(`${address} is not a TCP address`);
  return bound;
}

/** `host:port`, or `[IPv6]:port`. */
export function formatAddress({ family, address, port }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}
