import { connect } from 'node:net';

/** A connection that keeps the server waiting. */
export interface SlowClient {
  /** Seconds until the server closed the connection; stays pending while it does not. */
  readonly closedAfter: Promise<number>;
  /** What the server said. */
  answer(): string;
  destroy(): void;
}

/** Connects, sends `first`, and then one more byte of `drip` every half a second, for ever; without it, nothing. */
export function slowClient(port: number, first: string, drip?: string): SlowClient {
  const began = performance.now();
  const socket = connect({ port, host: '127.0.0.1' }, () => void (first !== '' && socket.write(first)));
  let answer = '';
  const dripping = setInterval(() => void (drip !== undefined && socket.writable && socket.write(drip)), 500);
  socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  const closedAfter = new Promise<number>((resolve) => {
    socket.on('close', () => {
      clearInterval(dripping);
      resolve((performance.now() - began) / 1000);
    });
  });
  return { closedAfter, answer: () => answer, destroy: () => void socket.destroy() };
}
