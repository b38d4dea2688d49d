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
