import { connect } from 'node:net';
import type { Socket } from 'node:net';

/**
 * The load: keep-alive connections with one request in flight each, over loopback. Reads jobs as JSON lines
 * `{"port", "path", "milliseconds"}` and prints `{"requests", "seconds"}` for each. Bodies are not looked into beyond
 * their length, so that this process can outrun the server it measures.
 */
const connections = 32;
/** Before the sidecar's limit of 1000 ends the connection. */
const requestsPerConnection = 900;

interface Job {
  readonly port: number;
  readonly path: string;
  readonly milliseconds: number;
}

async function run({ port, path, milliseconds }: Job): Promise<{ requests: number; seconds: number }> {
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  const length = await answerLength(port, request);
  const start = performance.now();
  const end = start + milliseconds;
  let requests = 0;
  const client = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const open = (): void => {
        const socket = connect({ port, host: '127.0.0.1', noDelay: true });
        let received = 0;
        let sent = 1;
        socket.on('error', reject);
        socket.on('data', (chunk) => {
          received += chunk.length;
          if (received < length) return;
          if (received > length) return reject(new Error('an answer had another length than the first one'));
          received = 0;
          requests += 1;
          if (performance.now() < end && sent < requestsPerConnection) {
            sent += 1;
            socket.write(request);
            return;
          }
          socket.destroy();
          if (performance.now() < end) open();
          else resolve();
        });
        socket.write(request);
      };
      open();
    });
  await Promise.all(Array.from({ length: connections }, client));
  return { requests, seconds: (performance.now() - start) / 1000 };
}

/** How many bytes one answer has. Its headers are the same every time: a Date has a fixed length. */
function answerLength(port: number, request: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1' }, () => socket.write(request));
    let answer = '';
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      const head = answer.indexOf('\r\n\r\n');
      const body = Number(/^content-length: (\d+)/im.exec(answer)?.[1]);
      if (head === -1 || answer.length < head + 4 + body) return;
      socket.destroy();
      if (!answer.startsWith('HTTP/1.1 200 ')) reject(new Error(`the server answered ${answer.slice(9, 12)}`));
      else resolve(answer.length);
    });
  });
}

process.stdin.setEncoding('utf8');
let input = '';
for await (const chunk of process.stdin) {
  input += String(chunk);
  for (let end = input.indexOf('\n'); end !== -1; end = input.indexOf('\n')) {
    const job: Job = JSON.parse(input.slice(0, end));
    input = input.slice(end + 1);
    console.log(JSON.stringify(await run(job)));
  }
}
