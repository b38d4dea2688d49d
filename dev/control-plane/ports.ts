import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/** Below the ranges that Linux (32768…) and macOS (49152…) give to outgoing connections, so that none takes a port
 * while the server that owns it is down between kill() and start(). */
const lowest = 10_240;
const highest = 32_767;

/** Each process draws from a slice of its own, one port after another: a port that is free now, because its server is
 * not up yet or was killed, is not given to a process beside this one, nor again in this one for a long time. */
const slices = 64;
const sliceSize = Math.floor((highest - lowest + 1) / slices);
const firstOfSlice = lowest + (process.pid % slices) * sliceSize;
let drawn = randomInt(sliceSize);

/** `count` different loopback ports that nothing listens on. */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  const ports: number[] = [];
  while (ports.length < count) {
    const port = firstOfSlice + (drawn++ % sliceSize);
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
