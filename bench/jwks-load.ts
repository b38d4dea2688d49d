import { connect } from 'node:net';
import type { Socket } from 'node:net';

/**
 * The load generator: keep-alive connections with one request in flight each, over loopback. Reads jobs as JSON lines
 * `{"port", "paths", "ifNoneMatch"?, "milliseconds"}` and prints `{"requests", "seconds", "p99Milliseconds"}` for each. It requests the
 * paths in turn, and all answers must have the same length. It checks only the length, to be faster than the server it measures.
 */
const connections = 32;
/** Below the 1000 requests after which nginx closes a connection. */
const requestsPerConnection = 900;

interface Job {
  readonly port: number;
  readonly paths: readonly string[];
  readonly ifNoneMatch?: string;
  readonly milliseconds: number;
}

interface Figures {
  readonly requests: number;
  readonly seconds: number;
  readonly p99Milliseconds: number;
}

async function run({ port, paths, ifNoneMatch, milliseconds }: Job): Promise<Figures> {
  const condition = ifNoneMatch === undefined ? '' : `If-None-Match: ${ifNoneMatch}\r\n`;
  const requests = paths.map((path) => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${condition}\r\n`));
  const length = await answerLength(port, requests[0]!);
  const start = performance.now();
  const end = start + milliseconds;
  const took: number[] = [];
  const nextRequest = (): Buffer => requests[took.length % requests.length]!;
  const client = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const open = (): void => {
        const socket = connect({ port, host: '127.0.0.1', noDelay: true });
        let received = 0;
        let sent = 1;
        let asked = performance.now();
        socket.on('error', reject);
        socket.on('data', (chunk) => {
          received += chunk.length;
          if (received < length) return;
          if (received > length) return reject(new Error('an answer had another length than the first one'));
          received = 0;
          const now = performance.now();
          took.push(now - asked);
          if (now < end && sent < requestsPerConnection) {
            sent += 1;
            asked = now;
            socket.write(nextRequest());
            return;
          }
          socket.destroy();
          if (now < end) open();
          else resolve();
        });
        socket.write(nextRequest());
      };
      open();
    });
  await Promise.all(Array.from({ length: connections }, client));
  const seconds = (performance.now() - start) / 1000;
  const p99Milliseconds = took.toSorted((a, b) => a - b)[Math.floor(took.length * 0.99)] ?? Number.NaN;
  return { requests: took.length, seconds, p99Milliseconds };
}

/** The bytes of one answer. Every answer has the same length, because a Date has a fixed length. */
function answerLength(port: number, request: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1' }, () => socket.write(request));
    let answer = '';
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      const head = answer.indexOf('\r\n\r\n');
      const unchanged = answer.startsWith('HTTP/1.1 304 ');
      const body = unchanged ? 0 : Number(/^content-length: (\d+)/im.exec(answer)?.[1]);
      if (head === -1 || answer.length < head + 4 + body) return;
      socket.destroy();
      if (unchanged || answer.startsWith('HTTP/1.1 200 ')) resolve(answer.length);
      else reject(new Error(`the server answered ${answer.slice(9, 12)}`));
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
