import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/** Below the ranges that Linux (32768…) and macOS (49152…) give to outgoing connections, so that none takes a port
 * while the server that owns it is down between kill() and start(). */
const lowest = 10_240;
const highest = 32_767;

/** `count` different loopback ports that nothing listens on. */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  const ports: number[] = [];
  while (ports.length < count) {
    const port = randomInt(lowest, highest + 1);
    const server = await listen(port);
    if (server === undefined) continue;
    held.push(server);
    ports.push(port);
  }
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server));
  });
}
